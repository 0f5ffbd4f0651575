"""The host's own checks of a backbone."""

from ssl_host.testing import conformance

test_conforms = conformance("backbone", "torchvision", model="resnet18", stem="cifar")
