"""Tests of torchvision's models as backbones."""

from collections import OrderedDict

import pytest
import torch
import torchvision
from torchvision.models.vision_transformer import interpolate_embeddings

import ssl_host
from ssl_host import UserError, load_initial_weights


def build(**settings):
    defaults = {"in_channels": 3, "image_size": 32}
    return ssl_host.build("backbone", "torchvision", **{**defaults, **settings})


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v3_small", "convnext_tiny"])
def test_feature_dim_equals_output_width(model, channels):
    backbone = build(model=model, in_channels=channels).eval()
    images = torch.randn(2, channels, 32, 32)
    assert backbone(images).shape == (2, backbone.feature_dim)


def test_weights_of_another_image_size_and_number_of_channels_are_converted(tmp_path):
    source = build(model="vit_b_32", image_size=128)
    target = build(model="vit_b_32", image_size=64, in_channels=1)
    torch.nn.init.normal_(source.model.encoder.pos_embedding)
    torch.save(source.model.state_dict(), tmp_path / "x.pth")
    note = load_initial_weights(target, tmp_path / "x.pth")
    assert "pos_embedding was converted from shape (1, 17, 768) to (1, 5, 768)" in note
    assert "conv_proj.weight was converted from shape (768, 3, 32, 32) to (768, 1" in note
    given = OrderedDict(source.model.state_dict())
    expected = interpolate_embeddings(64, 32, given)["encoder.pos_embedding"]
    assert torch.equal(target.model.encoder.pos_embedding, expected)


@pytest.mark.parametrize(("model", "size"), [("googlenet", 32), ("inception_v3", 139)])
def test_auxiliary_classifiers_are_removed(model, size):
    backbone = build(model=model).train()
    assert backbone(torch.randn(2, 3, size, size)).shape == (2, backbone.feature_dim)
    assert not [name for name in backbone.state_dict() if "aux" in name.lower()]


def test_cifar_stem_with_one_channel_returns_512_features():
    backbone = build(model="resnet18", stem="cifar", in_channels=1)
    assert backbone.model.conv1.padding == (1, 1)
    assert backbone(torch.randn(2, 1, 32, 32)).shape == (2, 512)


def test_exported_state_loads_into_plain_torchvision():
    module, description = build(model="resnet18").export()
    plain = torchvision.models.get_model(description["model"])
    plain.fc = torch.nn.Identity()
    plain.load_state_dict(module.state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "resnet19"}, "torchvision has no such classification model"),
        ({"model": "mobilenet_v3_small", "stem": "cifar"}, "stem = cifar is for ResNets"),
        ({"model": "resnet18", "weights": "NOPE"}, "with weights = NOPE"),
    ],
)
def test_invalid_settings_raise_user_error(settings, message):
    with pytest.raises(UserError, match=message):
        build(**settings)
