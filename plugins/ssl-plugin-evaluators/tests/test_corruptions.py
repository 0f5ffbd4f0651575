"""Corruptions against plain formulas and other libraries, for all sizes and channels."""

import colorsys
import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from ssl_plugin_evaluators.corruption_severities import CIFAR_C, IMAGENET_C
from ssl_plugin_evaluators.corruption_textures import clipped_zoom, motion_blurred, plasma_fractal
from ssl_plugin_evaluators.corruptions import CORRUPTIONS, STANDARD, corrupt, disk


def generator():
    return np.random.default_rng(0)


def pictures(side=32, channels=3, count=4):
    """Return smooth images with noise, without pixels at the limits."""
    noise = generator().random((count, side, side, channels))
    smooth = ndimage.gaussian_filter(noise, (0, 2, 2, 0))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return 0.1 + 0.7 * smooth + 0.1 * noise


def apply(name, x, c):
    return CORRUPTIONS[name](x, c, generator())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_grows_with_severity_for_every_size(name):
    assert len(IMAGENET_C[name]) == len(CIFAR_C[name]) == 5
    for side, channels in ((8, 1), (28, 1), (33, 3), (100, 3)):
        images = (255 * pictures(side, channels, 2)).astype(np.uint8)
        changed = [corrupt(images, name, severity, generator()) for severity in range(1, 6)]
        assert all(c.shape == images.shape and c.dtype == np.uint8 for c in changed)
        assert np.array_equal(changed[2], corrupt(images, name, 3, generator()))
        if (name, channels) != ("saturate", 1) and side > 8:
            assert np.abs(changed[4].astype(float) - images).mean() > 1
    if name not in ("saturate", "elastic_transform", "glass_blur", "snow"):
        distances = [np.abs(c.astype(float) - images).mean() for c in changed]
        assert distances[0] < distances[4]


def test_noises_have_their_mean_and_variance():
    x = np.full((1, 300, 300, 1), 0.4)
    for name, c, variance in (
        ("gaussian_noise", 0.1, 0.01),
        ("shot_noise", 50, 0.4 / 50),
        ("speckle_noise", 0.2, 0.0064),
        ("impulse_noise", 0.07, 0.07 * (0.5 * 0.36 + 0.5 * 0.16) - (0.07 * 0.1) ** 2),
    ):
        noisy = apply(name, x, c)
        mean = 0.4 + (0.007 if name == "impulse_noise" else 0)
        assert noisy.mean() == pytest.approx(mean, abs=0.002)
        assert noisy.var() == pytest.approx(variance, rel=0.03)


def test_brightness_and_saturation_equal_those_of_hsv():
    x = pictures(6)
    x[0, 0, 0], x[0, 0, 1] = 0, 0.5  # black and gray
    for name, c, change in (
        ("brightness", 0.3, lambda h, s, v: (h, s, min(1, v + 0.3))),
        ("saturate", (2, 0.1), lambda h, s, v: (h, min(1, 2 * s + 0.1), v)),
        ("saturate", (0.3, 0), lambda h, s, v: (h, 0.3 * s, v)),
    ):
        expected = [
            colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*p))) for p in x.reshape(-1, 3)
        ]
        assert np.abs(apply(name, x, c).reshape(-1, 3) - expected).max() < 1e-6


def test_defocus_blur_equals_a_convolution_with_a_disk():
    x = pictures()
    kernel = disk(3, 0.1)
    assert kernel.sum() == pytest.approx(1)
    assert np.count_nonzero(kernel > 1e-9) == 29  # the points of a disk with radius 3
    expected = ndimage.convolve(x, kernel[None, :, :, None], mode="mirror")
    assert np.abs(apply("defocus_blur", x, (3, 0.1)) - expected).max() < 1e-6


def test_motion_blur_spreads_a_point_along_a_line():
    x = np.zeros((2, 41, 41, 1))
    x[:, 20, 20] = 1
    across, diagonal = motion_blurred(x, 5, 2.0, np.array([0.0, 45.0]))[..., 0]
    weights = np.exp(-(np.arange(11) ** 2) / 8)
    weights /= weights.sum()
    assert np.abs(across[20, 20 - np.arange(11)] - weights).max() < 1e-6
    assert diagonal.sum() == pytest.approx(1)
    rows, columns = np.nonzero(diagonal)
    assert np.array_equal(rows, columns)
    constant = np.full((1, 9, 9, 3), 0.3)
    assert np.abs(motion_blurred(constant, 10, 3, np.array([77.0])) - 0.3).max() < 1e-6


def test_zoom_blur_is_a_mean_of_zooms():
    x = pictures()
    factors = np.arange(1, 1.06, 0.01)  # rounding adds 1.06, in the authors' code too
    expected = (x[0] + sum(clipped_zoom(x[:1], factor)[0] for factor in factors)) / 8
    assert np.abs(apply("zoom_blur", x, (1.06, 0.01))[0] - expected).max() < 1e-6


@pytest.mark.parametrize(("side", "factor"), [(33, 2.0), (32, 1.07), (31, 4.5), (20, 1.0)])
def test_zoom_equals_that_of_scipy(side, factor):
    x = pictures(side)
    inner = int(np.ceil(side / factor))
    start = (side - inner) // 2
    centre = x[:, start : start + inner, start : start + inner]
    expected = ndimage.zoom(centre, (1, factor, factor, 1), order=1)
    cut = (expected.shape[1] - side) // 2
    expected = expected[:, cut : cut + side, cut : cut + side]
    assert np.abs(clipped_zoom(x, factor) - expected).max() < 1e-6


def test_contrast_fog_and_glass_equal_plain_formulas():
    x = pictures(16)
    means = x.mean(axis=(1, 2), keepdims=True)
    assert np.abs(apply("contrast", x, 0.4) - (0.4 * x + 0.6 * means)).max() < 1e-6
    clouds = plasma_fractal(16, 2, generator())
    assert (clouds.shape, clouds.min(), clouds.max()) == ((16, 16), 0, 1)
    assert plasma_fractal(33, 2, generator()).shape == (64, 64)
    top = x[0].max()
    expected = (x[0] + 1.5 * clouds[..., None]) * top / (top + 1.5)
    assert np.abs(apply("fog", x, (1.5, 2))[0] - expected).max() < 1e-6
    sharp = np.floor(255 * x) / 255
    glass = apply("glass_blur", x, (1e-9, 2, 1))
    assert np.isin(glass[0], sharp[0]).all()  # pixels move, and their values stay
    assert not np.array_equal(glass, sharp)
    assert np.array_equal(glass[:, :3], sharp[:, :3])  # the border is left out


def test_elastic_transform_without_displacement_is_the_identity():
    x = pictures(20)
    assert np.abs(apply("elastic_transform", x, (0, 0, 0)) - x).max() < 1e-6
    shifted = apply("elastic_transform", x, (0, 0, 0.05))
    assert 0.001 < np.abs(shifted - x).mean() < 0.1


def test_pixelate_and_jpeg_equal_pillow():
    image = (255 * pictures(32, 3, 1)).astype(np.uint8)
    small = Image.fromarray(image[0]).resize((16, 16), Image.Resampling.BOX)
    expected = np.asarray(small.resize((32, 32), Image.Resampling.BOX))
    pixelated = 255 * apply("pixelate", image / 255, 0.5)[0]
    assert np.abs(pixelated - expected).max() < 1e-6
    file = io.BytesIO()
    Image.fromarray(image[0]).save(file, "JPEG", quality=40)
    compressed = 255 * apply("jpeg_compression", image / 255, 40)[0]
    assert np.abs(compressed - np.asarray(Image.open(file))).max() < 1e-6


def test_snow_of_nothing_is_a_brighter_image():
    x = pictures(16)
    flakes = apply("snow", x, (0.0, 1e-9, 1, 0.5, 8, 3, 0.9))  # no flake is above 0.5
    gray = 0.299 * x[..., :1] + 0.587 * x[..., 1:2] + 0.114 * x[..., 2:]
    expected = 0.9 * x + 0.1 * np.maximum(x, 1.5 * gray + 0.5)
    assert np.abs(flakes - expected).max() < 1e-6
    assert (apply("snow", x, (0.1, 0.3, 1, 0.5, 8, 3, 0.9)) >= expected - 1e-9).all()


def test_standard_corruptions_are_those_of_the_paper_without_frost():
    assert len(STANDARD) == 14
    assert not {"speckle_noise", "gaussian_blur", "saturate"} & set(STANDARD)


@pytest.mark.parametrize(("side", "table"), [(95, CIFAR_C), (96, IMAGENET_C)])
def test_severities_depend_on_the_size_of_the_images(side, table):
    images = (255 * pictures(side, 3, 1)).astype(np.uint8)
    expected = apply("contrast", images / 255, table["contrast"][3])
    found = corrupt(images, "contrast", 4, generator())
    assert np.array_equal(found, (255 * expected).astype(np.uint8))
