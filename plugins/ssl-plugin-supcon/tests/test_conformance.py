"""The host's conformance checks."""

from ssl_host.testing import conformance

test_supcon_conforms = conformance("method", "supcon")
test_the_loss_sup_con_conforms = conformance("loss", "sup_con")
