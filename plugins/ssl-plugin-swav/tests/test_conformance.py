"""The host's conformance checks."""

from ssl_host.testing import conformance

test_swav_conforms = conformance("method", "swav")
test_the_loss_swav_conforms = conformance("loss", "swav")
