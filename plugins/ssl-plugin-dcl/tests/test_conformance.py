"""The host's conformance checks."""

from ssl_host.testing import conformance

test_dcl_conforms = conformance("method", "dcl")
test_dclw_conforms = conformance("method", "dclw")
test_the_loss_dcl_conforms = conformance("loss", "dcl")
test_the_loss_dclw_conforms = conformance("loss", "dclw")
