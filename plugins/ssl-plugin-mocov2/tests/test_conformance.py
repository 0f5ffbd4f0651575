"""The host's conformance checks."""

from ssl_host.testing import conformance

test_conforms = conformance("method", "mocov2")
test_symmetric_loss_conforms = conformance("method", "mocov2", symmetric=True)
