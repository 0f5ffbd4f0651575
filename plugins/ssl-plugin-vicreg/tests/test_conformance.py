"""The host's conformance checks."""

from ssl_host.testing import conformance

test_vicreg_conforms = conformance("method", "vicreg")
test_vibcreg_conforms = conformance("method", "vibcreg")
test_the_loss_vicreg_conforms = conformance("loss", "vicreg")
test_the_loss_vibcreg_conforms = conformance("loss", "vibcreg")
test_the_head_whitened_mlp_conforms = conformance("head", "whitened_mlp")
