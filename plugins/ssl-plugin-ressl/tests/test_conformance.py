"""The host's conformance checks."""

from ssl_host.testing import conformance

test_ressl_conforms = conformance("method", "ressl")
test_the_augmentation_weak_strong_conforms = conformance("augmentation", "weak_strong")
