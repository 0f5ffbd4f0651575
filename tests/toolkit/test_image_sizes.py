"""Image sizes that a backbone can process, found without computing anything."""

import pytest
import torch
from torch import nn

import ssl_host
from ssl_host import Backbone, Settings
from ssl_host.toolkit.image_sizes import SizeFit, fitting_sizes, size_error, unseen_border


def backbone(*layers, image_size=32, in_channels=3):
    class Layers(Backbone):
        def setup(self):
            self.layers = nn.Sequential(*layers)
            self.feature_dim = 4

        def forward(self, images):
            return self.layers(images).flatten(1)

    return Layers(Settings(), image_size=image_size, in_channels=in_channels)


def timm(model, image_size):
    return ssl_host.build("backbone", "timm", model=model, in_channels=3, image_size=image_size)


def test_size_error_is_none_for_a_size_that_fits_and_computes_nothing():
    network = backbone(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    assert size_error(network, 16) is None
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert "size" in str(size_error(network, 2))


def test_network_that_the_meta_device_cannot_run_is_tried_on_the_cpu():
    class Odd(nn.Module):
        def forward(self, x):
            return x * x.mean().item()

    network = backbone(Odd(), nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1))
    assert size_error(network, 8) is None
    assert size_error(network, 1) is not None


@pytest.mark.parametrize(
    ("layer", "size", "pixels", "fitting"),
    [
        (nn.Conv2d(3, 4, 16, stride=16), 68, 4, (64, 80)),
        (nn.Conv2d(3, 4, 16, stride=16), 64, None, None),
        (nn.Conv2d(3, 4, 4, stride=4), 30, 2, (28, 32)),
        (nn.Conv2d(3, 4, 3, stride=2, padding=1), 32, None, None),
        (nn.Conv2d(3, 4, 3, stride=2), 32, 1, (31, 33)),
        (nn.Conv2d(3, 4, 7, stride=2, padding=3), 31, None, None),
        (nn.Conv2d(3, 4, 3, padding="same"), 31, None, None),
        (nn.MaxPool2d(2), 31, 1, (30, 32)),
    ],
)
def test_border_that_the_first_layer_leaves_out_is_found(layer, size, pixels, fitting):
    network = backbone(layer, nn.AdaptiveAvgPool2d(1))
    border = unseen_border(network, size)
    assert (border and border.pixels, border and border.fitting) == (pixels, fitting)
    # The same from the gradient: no output depends on the border.
    images = torch.rand(1, 3, size, size, requires_grad=True)
    network(images).pow(2).sum().backward()
    seen = images.grad.abs().sum(dim=(0, 1, 2)).nonzero().max().item() + 1
    assert size - seen == (pixels or 0)


def test_border_is_left_out_only_if_every_first_layer_leaves_it_out():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.coarse = nn.Conv2d(3, 4, 16, stride=16)
            self.fine = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.coarse(x).mean((2, 3)) + self.fine(x).mean((2, 3))

    assert unseen_border(backbone(Two()), 68) is None


@pytest.mark.parametrize(
    ("model", "size", "pixels"),
    [
        ("poolformer_s12", 50, 1),
        ("convnext_atto", 50, 2),
        ("tnt_s_patch16_224", 40, 8),
        ("tnt_s_patch16_224", 48, None),
    ],
)
def test_border_of_a_timm_model_is_found(model, size, pixels):
    border = unseen_border(timm(model, size), size)
    assert (border and border.pixels) == pixels
    assert border is None or size not in border.fitting


def test_fitting_sizes_prefers_sizes_that_are_used_completely():
    fits = {32: SizeFit.COMPLETE, 40: SizeFit.WITHOUT_BORDER, 64: SizeFit.COMPLETE}
    assert fitting_sizes(lambda size: fits.get(size, SizeFit.NONE), 42) == [32, 64]
    fits = {40: SizeFit.WITHOUT_BORDER}
    assert fitting_sizes(lambda size: fits.get(size, SizeFit.NONE), 42) == [40]
    assert fitting_sizes(lambda _: SizeFit.NONE, 42) == []
