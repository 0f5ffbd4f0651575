"""The host's conformance checks."""

from ssl_host.testing import conformance

test_tico_conforms = conformance("method", "tico")
test_the_loss_tico_conforms = conformance("loss", "tico")
