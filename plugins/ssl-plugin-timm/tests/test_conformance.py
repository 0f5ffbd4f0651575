"""The host's own checks of a backbone, on a convolutional network and a transformer."""

from ssl_host.testing import conformance

test_a_resnet_conforms = conformance("backbone", "timm", model="resnet18", stem="cifar")
test_a_transformer_conforms = conformance(
    "backbone", "timm", model="vit_tiny_patch16_224", patch_size=8
)
