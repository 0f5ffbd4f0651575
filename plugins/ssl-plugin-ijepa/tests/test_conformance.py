"""The host's conformance checks."""

from ssl_host.testing import conformance

test_conforms = conformance("method", "ijepa")
