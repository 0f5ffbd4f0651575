"""The host's conformance checks."""

from ssl_host.testing import conformance

test_conforms = conformance("method", "barlowtwins")
test_the_loss_conforms = conformance("loss", "barlow_twins")
