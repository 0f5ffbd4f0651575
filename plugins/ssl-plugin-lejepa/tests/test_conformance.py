"""The host's conformance checks."""

from ssl_host.testing import conformance

test_lejepa_conforms = conformance("method", "lejepa")
test_the_loss_sigreg_conforms = conformance("loss", "sigreg")
