"""The host's own checks of a method, one case each."""

from ssl_host.testing import conformance

test_conforms = conformance("method", "byol")
