"""Tests of timm's models as backbones."""

import pytest
import timm
import torch

import ssl_host
from ssl_host import UserError


def build(**settings):
    defaults = {"in_channels": 3, "image_size": 32}
    return ssl_host.build("backbone", "timm", **{**defaults, **settings})


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stem", ["default", "cifar"])
def test_resnet_returns_512_features(channels, stem):
    backbone = build(model="resnet18", stem=stem, in_channels=channels)
    assert backbone(torch.randn(2, channels, 32, 32)).shape == (2, 512)
    assert backbone.feature_dim == 512


def test_cifar_stem_keeps_the_image_size():
    """The stem is a 3 x 3 convolution with padding 1; some projects use padding 2."""
    model = build(model="resnet18", stem="cifar").model
    assert model.conv1.padding == (1, 1)
    assert model.conv1.stride == (1, 1)
    assert model.conv1.kernel_size == (3, 3)
    out = model.maxpool(model.act1(model.bn1(model.conv1(torch.zeros(1, 3, 32, 32)))))
    assert out.shape == (1, 64, 32, 32)


def test_transformer_has_image_size_of_the_data():
    backbone = build(model="vit_tiny_patch16_224", patch_size=4)
    assert backbone.model.patch_embed.grid_size == (8, 8)
    assert backbone(torch.randn(2, 3, 32, 32)).shape == (2, 192)
    with pytest.raises(UserError, match=r"img_size = 64, but \[data\] image_size is 32"):
        build(model="vit_tiny_patch16_224", patch_size=8, img_size=64)


def test_small_transformer_returns_384_features():
    backbone = build(model="vit_small_patch16_224", patch_size=8).eval()
    assert backbone.feature_dim == 384
    assert backbone(torch.randn(1, 3, 32, 32)).shape == (1, 384)


@pytest.mark.parametrize("model", ["convnext_atto", "mobilenetv3_small_050", "efficientnet_b0"])
def test_feature_dim_equals_output_width(model):
    backbone = build(model=model)
    assert backbone.eval()(torch.randn(2, 3, 32, 32)).shape == (2, backbone.feature_dim)


def test_exported_state_loads_into_plain_timm():
    backbone = build(model="resnet18", in_channels=1).eval()
    module, description = backbone.export()
    plain = timm.create_model(description["model"], **description["arguments"]).eval()
    plain.load_state_dict(module.state_dict())
    image = torch.randn(2, 1, 32, 32)
    assert torch.equal(plain(image), backbone(image))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "resnet_18"}, "timm has no such model; use resnet"),
        ({"model": "vit_tiny_patch16_224", "stem": "cifar"}, "stem = cifar is for ResNets"),
        ({"model": "resnet18", "patch_size": 4}, "does not accept patch_size"),
    ],
)
def test_invalid_settings_raise_user_error(settings, message):
    with pytest.raises(UserError, match=message):
        build(**settings)
