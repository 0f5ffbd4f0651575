"""The host's conformance checks."""

from ssl_host.testing import conformance

test_all4one_conforms = conformance("method", "all4one")
