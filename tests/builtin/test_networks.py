"""Tests of the built-in backbone and heads."""

import pytest
import torch
from torch import nn

import ssl_host


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (4, 65)])
def test_small_conv_returns_features_of_declared_width(channels, size):
    backbone = ssl_host.build("backbone", "small_conv", in_channels=channels, image_size=size)
    assert backbone(torch.randn(2, channels, size, size)).shape == (2, backbone.feature_dim)
    assert backbone.feature_dim == 24 * 16


def layer_kinds(head):
    names = {nn.Linear: "linear", nn.BatchNorm1d: "norm", nn.ReLU: "relu", nn.GELU: "gelu"}
    return [names[type(layer)] for layer in head.layers]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"num_layers": 1}, ["linear"]),
        ({"num_layers": 2}, ["linear", "norm", "relu", "linear"]),
        ({"num_layers": 2, "hidden_norm": False}, ["linear", "relu", "linear"]),
        ({"num_layers": 2, "activation": "gelu"}, ["linear", "norm", "gelu", "linear"]),
        (
            {"num_layers": 3, "last_norm": True},
            ["linear", "norm", "relu", "linear", "norm", "relu", "linear", "norm"],
        ),
    ],
)
def test_mlp_has_expected_layers(settings, expected):
    head = ssl_host.build("head", "mlp", in_dim=6, hidden_dim=5, output_dim=4, **settings)
    assert layer_kinds(head) == expected
    assert head(torch.randn(3, 6)).shape == (3, 4)
    assert head.output_dim == 4


def test_mlp_has_biases_only_in_layers_without_norm():
    head = ssl_host.build("head", "mlp", in_dim=6, hidden_dim=5, output_dim=4, num_layers=2)
    first, last = (layer for layer in head.layers if isinstance(layer, nn.Linear))
    assert first.bias is None
    assert last.bias is not None
    bare = ssl_host.build("head", "mlp", in_dim=6, hidden_dim=5, output_dim=4, bias=False)
    assert all(m.bias is None for m in bare.layers if isinstance(m, nn.Linear))
    plain = ssl_host.build("head", "mlp", in_dim=6, output_dim=4, last_norm=True, last_affine=False)
    assert plain.layers[-1].weight is None
    assert plain.layers[1].weight is not None


def test_small_conv_with_one_pixel_has_correct_bfloat16_gradient():
    """The last stage sees one pixel of a small crop.

    There torch's bfloat16 gradient of a convolution of stride 2 can contain uninitialised memory
    (torch 2.14 on a CPU with bfloat16, not in every process); without a stride it is correct.
    """
    backbone = ssl_host.build("backbone", "small_conv", in_channels=3, image_size=16)
    layer = backbone.layers[-3]
    generator = torch.Generator().manual_seed(0)
    pixel = torch.randn(64, layer.in_channels, 1, 1, generator=generator)
    plain = torch.nn.functional.conv2d(pixel, layer.weight, stride=2, padding=1)
    assert torch.allclose(layer(pixel), plain, rtol=0, atol=1e-5)
    grads = []
    for is_half in (False, True):
        layer.weight.grad = None
        garbage = [torch.full_like(layer.weight, 1e20) for _ in range(3)]
        del garbage  # the next allocations contain these values
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            out = layer(pixel)
        out.float().square().sum().backward()
        grads.append(layer.weight.grad)
    assert float((grads[0] - grads[1]).norm() / grads[0].norm()) < 0.05
