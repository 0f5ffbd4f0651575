"""The compiled kernel equals the torch backend, which test_operations compares to torchvision."""

import pytest
import torch

import ssl_host
from ssl_host import ViewSpec
from ssl_host.augment import kernels, numba_backend, torch_backend
from ssl_host.augment.specs import expand_specs
from ssl_host.contracts.rng import CounterRNG

CROP = {"crop_scale": (0.08, 1.0)}
CASES = {
    "nothing": {},
    "bilinear": CROP,
    "bicubic, flipped": {**CROP, "interpolation": "bicubic", "flip": 0.5},
    "too wide boxes use the central box": {"crop_scale": (0.9, 1.0), "crop_ratio": (2.0, 3.0)},
    "affine": {"rotate": 20.0, "translate": 0.2, "shear": 10.0, "zoom": (0.7, 1.2)},
    "cropped and affine": {**CROP, "rotate": 20.0, "flip": 0.5},
    "brightness": {"jitter": 0.8, "brightness": 0.8},
    "contrast": {"jitter": 0.8, "contrast": 0.8},
    "saturation": {"jitter": 0.8, "saturation": 0.8},
    "hue": {"jitter": 0.8, "hue": 0.5},
    "colour": {"jitter": 0.8, "brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2},
    "gray": {"grayscale": 0.5},
    "blur": {"blur": 0.5},
    "wide blur": {"blur": 0.5, "blur_kernel": 23, "blur_sigma": (1.0, 4.0)},
    "solarized": {"solarize": 0.5},
    "posterized": {"posterize": 0.5, "posterize_bits": 3},
    "all": {
        **CROP,
        **{"interpolation": "bicubic", "rotate": 9.0, "flip": 0.5, "jitter": 0.8},
        **{"brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1},
        **{"grayscale": 0.2, "blur": 0.5, "solarize": 0.2},
    },
}
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def photographs(count, channels, height, width):
    """Return smooth images: in noise, rounding would change which pixels reach a threshold."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, channels, 5, 5, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    return (fine.clamp(0, 1) * 255).to(torch.uint8)


@pytest.mark.parametrize("shape", [(3, 24, 24, 24), (3, 30, 37, 20), (1, 16, 16, 28)])
@pytest.mark.parametrize("case", CASES)
def test_kernel_for_any_spec_equals_torch_backend(case, shape):
    channels, height, width, size = shape
    (spec,) = expand_specs([ViewSpec(**CASES[case], size=size)], size, "Trial")
    images = photographs(60, channels, height, width)
    rng = CounterRNG(3, 2, torch.arange(60) + 11)
    mean, std = MEAN[:channels], STD[:channels]
    args = (images, rng, 1, spec, mean, std)
    view = numba_backend.render_view(*args, crop=True)
    expected = torch_backend.render_view(*args, crop=True)
    # Rounding may move a pixel across the threshold of solarizing.
    num_wrong = ((view - expected).abs() > 2e-4).flatten(1).sum(dim=1)
    assert int((num_wrong > 3).sum()) == 0
    assert int(num_wrong.sum()) <= 6
    if height == width == size:
        view = numba_backend.render_view(*args, crop=False)
        expected = torch_backend.render_view(*args, crop=False)
        assert int(((view - expected).abs() > 2e-4).sum()) <= 6


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_views_with_any_number_of_threads_are_bit_equal(threads):
    maker = ssl_host.build("augmentation", "simclr", image_size=16)
    images, index = photographs(50, 3, 20, 20), torch.arange(50)
    torch.set_num_threads(1)
    one = maker(images, index, 4, 2)
    torch.set_num_threads(threads)
    try:
        several = maker(images, index, 4, 2)
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(one, several, strict=True))


def test_views_of_a_sample_in_any_batch_are_bit_equal():
    maker = ssl_host.build("augmentation", "byol", image_size=16)
    images, index = photographs(30, 3, 20, 20), torch.arange(30) * 7
    whole = maker(images, index, 1, 0)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    shuffled = maker(images[order], index[order], 1, 0)
    alone = maker(images[4:5], index[4:5], 1, 0)
    for a, b, c in zip(whole, shuffled, alone, strict=True):
        assert torch.equal(a[order], b)
        assert torch.equal(a[4:5], c)


def test_numba_cache_key_includes_the_source_of_operations():
    """numba's cache notices changes in one file only, and in values of a closure."""
    function = kernels.make_views.py_func
    values = dict(zip(function.__code__.co_freevars, function.__closure__, strict=True))
    assert len(values["digest"].cell_contents) == 64
