"""The host's conformance checks, of a convolutional network and a transformer."""

from ssl_host.testing import conformance

test_resnet_conforms = conformance("backbone", "timm", model="resnet18", stem="cifar")
test_transformer_conforms = conformance(
    "backbone", "timm", model="vit_tiny_patch16_224", patch_size=8
)
