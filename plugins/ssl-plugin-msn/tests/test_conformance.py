"""The host's conformance checks."""

from ssl_host.testing import conformance

test_msn_conforms = conformance("method", "msn")
