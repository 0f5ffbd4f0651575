"""Built-in baselines on images with known features."""

import pytest
import torch

import ssl_host
from ssl_host import BaselineInputs, UserError
from ssl_host.augment.executor import evaluation_view


def inputs(network=None, mean=(0.5,), std=(0.25,)):
    """Return the inputs of a run on images of 8 pixels with the given mean and std."""
    return BaselineInputs(
        train_images=torch.zeros(4, len(mean), 8, 8, dtype=torch.uint8),
        transform=lambda images: evaluation_view(images, 8, mean, std),
        image_size=8,
        channels=len(mean),
        mean=mean,
        std=std,
        device=torch.device("cpu"),
        untrained=lambda: network,
        backbone=lambda name, size: network,
        load_backbone=lambda path: network,
    )


def images(channels=3, side=8):
    generator = torch.Generator().manual_seed(0)
    shape = (5, channels, side, side)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def test_pixels_are_fractions_and_large_images_are_shrunk():
    extractor = ssl_host.build("baseline", "pixels", max_side=4).make_extractor(inputs())
    small = images(side=4)
    assert torch.equal(extractor(small), small.float().flatten(1) / 255)
    flat = torch.full((2, 1, 9, 12), 51, dtype=torch.uint8)
    assert torch.allclose(extractor(flat), torch.full((2, 16), 0.2))


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_twelve_numbers_with_mean_and_deviation_first(channels):
    extractor = ssl_host.build("baseline", "statistics").make_extractor(inputs())
    batch = images(channels)
    found = extractor(batch)
    assert found.shape == (5, 12)
    pixels = batch.float() / 255
    assert torch.allclose(found[:, :channels], pixels.mean(dim=(2, 3)))
    assert torch.allclose(found[:, channels : 2 * channels], pixels.std(dim=(2, 3)))


@pytest.mark.parametrize("channels", [1, 3])
def test_pretrained_network_gets_its_own_mean_std_and_channels(channels):
    """The run normalises with other values; gray images are repeated for three channels."""
    torch.manual_seed(0)
    network = ssl_host.build("backbone", "small_conv", in_channels=3, image_size=8, num_stages=2)
    network.mean, network.std = (0.2, 0.3, 0.4), (0.5, 0.6, 0.7)
    made = inputs(network.eval(), (0.1,) * channels, (0.9,) * channels)
    extractor = ssl_host.build("baseline", "pretrained", backbone="x").make_extractor(made)
    batch = images(channels)
    repeated = batch.expand(-1, 3, -1, -1)
    with torch.no_grad():
        expected = network(evaluation_view(repeated, 8, network.mean, network.std))
        assert torch.allclose(extractor(made.transform(batch)), expected, atol=1e-5)


def test_pretrained_network_with_other_channels_is_refused():
    network = ssl_host.build("backbone", "small_conv", in_channels=2, image_size=8, num_stages=2)
    baseline = ssl_host.build("baseline", "pretrained", backbone="x")
    with pytest.raises(UserError, match="expects 2 channels, but the images have 3"):
        baseline.make_extractor(inputs(network, (0.5,) * 3, (0.5,) * 3))
