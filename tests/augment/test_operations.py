"""Each batched operation equals torchvision's on single images with the same parameters."""

import math

import pytest
import torch
import torchvision.transforms.v2
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as reference

from ssl_host import ViewSpec
from ssl_host.augment import colour, operations
from ssl_host.augment.blur import gaussian_blur
from ssl_host.augment.geometry import affine, crop_boxes, crop_resize
from ssl_host.augment.torch_backend import crop_bytes
from ssl_host.contracts.rng import CounterRNG

MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def images(count=4, channels=3, height=40, width=36, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("interpolation", MODES)
@pytest.mark.parametrize("size", [9, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_crop_resize_equals_torchvision(interpolation, size, channels):
    """Tolerance 1e-5; torchvision resizes the float image with antialiasing."""
    batch = images(channels=channels)
    boxes = torch.tensor([[0, 0, 40, 36], [3, 5, 11, 17], [20, 10, 20, 26], [39, 35, 1, 1]])
    found = crop_resize(batch, boxes, size, interpolation)
    for image, (top, left, height, width), view in zip(batch, boxes.tolist(), found, strict=True):
        expected = reference.resized_crop(
            image.float() / 255,
            top,
            left,
            height,
            width,
            [size, size],
            MODES[interpolation],
            antialias=True,
        )
        assert torch.allclose(view, expected.clamp(0, 1), atol=1e-5)


def test_crop_resize_with_flip_mirrors_selected_images():
    batch, boxes = images(), torch.tensor([[3, 5, 20, 17]]).expand(4, 4)
    flip = torch.tensor([True, False, True, False])
    plain = crop_resize(batch, boxes, 24, "bilinear")
    found = crop_resize(batch, boxes, 24, "bilinear", flip)
    assert torch.equal(found[flip], plain.flip(3)[flip])
    assert torch.equal(found[~flip], plain[~flip])


def test_affine_equals_torchvision():
    """Tolerance 1e-4, except for pixels that rounding moves across the edge of the image."""
    batch = images(6, height=33, width=33).float() / 255
    angle = torch.tensor([0.0, 15.0, -30.0, 90.0, 5.0, -12.0])
    shear = torch.tensor([0.0, 0.0, 10.0, -20.0, 30.0, 7.0])
    zoom = torch.tensor([1.0, 1.2, 0.8, 1.0, 0.5, 2.0])
    shift = torch.tensor([[0.0, 0.0], [2.0, -3.0], [0.0, 5.0], [1.0, 1.0], [-4.0, 0.0], [3.0, 3.0]])
    found = affine(batch, angle, shift, shear, zoom)
    for i, image in enumerate(batch):
        expected = reference.affine(
            image,
            float(angle[i]),
            shift[i].tolist(),
            float(zoom[i]),
            [float(shear[i]), 0.0],
            InterpolationMode.BILINEAR,
        )
        close = torch.isclose(found[i], expected, atol=1e-4)
        assert close.double().mean() > 0.995, i


COLOUR = {
    "brightness": (colour.brightness, reference.adjust_brightness, [0.0, 0.4, 1.0, 1.8]),
    "contrast": (colour.contrast, reference.adjust_contrast, [0.0, 0.4, 1.0, 1.8]),
    "saturation": (colour.saturation, reference.adjust_saturation, [0.0, 0.4, 1.0, 1.8]),
    "hue": (colour.hue, reference.adjust_hue, [-0.5, -0.1, 0.0, 0.3]),
}


@pytest.mark.parametrize("name", COLOUR)
def test_colour_change_equals_torchvision(name):
    """Tolerance 1e-5."""
    change, expected, amounts = COLOUR[name]
    batch = images().float() / 255
    batch[0, :, :5, :5] = 0.5  # gray pixels, whose hue is undefined
    found = change(batch, torch.tensor(amounts))
    for image, amount, view in zip(batch, amounts, found, strict=True):
        assert torch.allclose(view, expected(image, amount), atol=1e-5)


@pytest.mark.parametrize("name", ["saturation", "hue"])
def test_colour_change_of_one_channel_returns_the_input(name):
    gray = images(channels=1).float() / 255
    assert COLOUR[name][0](gray, torch.rand(4)) is gray


def test_grayscale_equals_torchvision():
    batch = images().float() / 255
    expected = torch.stack([reference.rgb_to_grayscale(image, 3) for image in batch])
    assert torch.allclose(colour.grayscale(batch), expected, atol=1e-6)


def test_solarize_equals_torchvision():
    batch = images().float() / 255
    expected = torch.stack([reference.solarize(image, 0.5) for image in batch])
    assert torch.equal(operations.solarize(batch, ViewSpec(), None), expected)


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_equals_torchvision(bits):
    batch = images().float() / 255
    expected = torchvision.transforms.v2.functional.posterize(batch, bits)
    posterized = operations.posterize(batch, ViewSpec(posterize_bits=bits), None)
    assert torch.allclose(posterized, expected, atol=1e-6)


@pytest.mark.parametrize(("side", "kernel"), [(32, 3), (64, 7), (65, 7), (96, 9), (8, 15)])
def test_blur_below_and_above_max_dense_side_equals_torchvision(side, kernel):
    """Tolerance 1e-5: matrix products up to 64 pixels, convolutions beyond."""
    batch = images(height=side, width=side).float() / 255
    sigma = torch.tensor([0.1, 0.7, 1.3, 2.0])
    found = gaussian_blur(batch, sigma, kernel)
    for image, width, view in zip(batch, sigma.tolist(), found, strict=True):
        expected = reference.gaussian_blur(image, [kernel, kernel], [width, width])
        assert torch.allclose(view, expected, atol=1e-5)


def test_crop_bytes_equals_crop_resize_rounded_to_bytes():
    """Tolerance 1.5 steps of a byte: rounding, and resizing in bytes."""
    spec = ViewSpec(size=24, crop_scale=(0.2, 1.0), interpolation="bilinear")
    batch = images(8)
    index = torch.arange(8)
    boxes = crop_boxes(spec, CounterRNG(3, 1, index), 0, 40, 36)
    whole = crop_resize(batch, boxes, 24, "bilinear")
    for i in range(8):
        alone = crop_bytes(batch[i : i + 1], CounterRNG(3, 1, index[i : i + 1]), 0, spec)
        assert (alone[0].float() / 255 - whole[i]).abs().max() < 1.51 / 255


def test_crop_boxes_have_uniform_area_and_log_uniform_aspect():
    """Kolmogorov-Smirnov at 1e-3: area uniform, aspect log-uniform, where every box fits."""
    spec = ViewSpec(size=8, crop_scale=(0.1, 0.5), crop_ratio=(3 / 4, 4 / 3))
    side, count = 4000, 20_000
    boxes = crop_boxes(spec, CounterRNG(0, 0, torch.arange(count)), 0, side, side).double()
    area = (boxes[:, 2] * boxes[:, 3]) / side**2
    aspect = (boxes[:, 3] / boxes[:, 2]).log()
    for values, low, high in (
        (area, 0.1, 0.5),
        (aspect, math.log(3 / 4), math.log(4 / 3)),
        (boxes[:, 0] / (side - boxes[:, 2] + 1), 0, 1),
        (boxes[:, 1] / (side - boxes[:, 3] + 1), 0, 1),
    ):
        ranks = ((values - low) / (high - low)).sort().values
        steps = torch.arange(1, count + 1) / count
        assert (ranks - steps).abs().max() < 1.95 / math.sqrt(count)


def test_crop_boxes_lie_inside_and_fall_back_to_the_centre():
    tall = crop_boxes(ViewSpec(size=8, crop_scale=(0.08, 1)), CounterRNG(1, 0, torch.arange(999)),
                      0, 100, 7)  # fmt: skip
    assert (tall[:, :2] >= 0).all()
    assert (tall[:, 2:] >= 1).all()
    assert (tall[:, 0] + tall[:, 2] <= 100).all()
    assert (tall[:, 1] + tall[:, 3] <= 7).all()
    never = ViewSpec(size=8, crop_scale=(0.9, 1.0))
    boxes = crop_boxes(never, CounterRNG(1, 0, torch.arange(5)), 0, 100, 7)
    assert boxes.tolist() == [[45, 0, 9, 7]] * 5
