"""The host's conformance checks."""

from ssl_host.testing import conformance

test_wmse_conforms = conformance("method", "wmse")
test_the_loss_w_mse_conforms = conformance("loss", "w_mse")
