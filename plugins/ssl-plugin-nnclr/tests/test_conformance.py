"""The host's conformance checks."""

from ssl_host.testing import conformance

test_conforms = conformance("method", "nnclr")
test_nnsiam_conforms = conformance("method", "nnsiam")
test_nnbyol_conforms = conformance("method", "nnbyol")
