"""Tests of features of folders and datasets."""

import numpy as np
import pytest
import torch
from PIL import Image

import ssl_host
from ssl_host import ArrayImages, FileImages
from ssl_host.augment.executor import evaluation_view
from ssl_host.errors import DataError, UserError
from ssl_host.toolkit.image_files import read_image
from ssl_host.toolkit.resizing import resize_to_square


def backbone(mean=(0.4,) * 3, std=(0.3,) * 3):
    torch.manual_seed(0)
    network = ssl_host.build(
        "backbone", "small_conv", in_channels=3, image_size=16, width=4, num_stages=2
    )
    network.mean, network.std = mean, std
    return network


def test_features_of_a_dataset_equal_those_of_the_network():
    pixels = torch.randint(0, 256, (7, 3, 16, 16), dtype=torch.uint8)
    network = backbone()
    names, features = ssl_host.extract_features(network, ArrayImages(pixels), batch_size=3)
    expected = network.eval()(evaluation_view(pixels, 16, network.mean, network.std))
    assert names == [f"image {i}" for i in range(7)]
    assert torch.allclose(features, expected, atol=1e-6)
    assert not features.requires_grad


def test_folder_is_searched_recursively_and_unreadable_images_are_skipped(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    (tmp_path / "deep").mkdir()
    Image.fromarray(noise).save(tmp_path / "deep" / "ä b.PNG")
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.warns(UserWarning, match="1 image could not be read, for example broken.jpg"):
        names, features = ssl_host.extract_features(backbone(), tmp_path)
    assert names == ["a.jpg", "deep/ä b.PNG"]
    assert features.shape == (2, 8)


def test_missing_images_or_statistics_raise_an_error(tmp_path):
    with pytest.raises(DataError, match="no image files"):
        ssl_host.extract_features(backbone(), tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        ssl_host.extract_features(backbone(), tmp_path / "nowhere")
    (tmp_path / "broken.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="none of 1 images could be read"):
        ssl_host.extract_features(backbone(), tmp_path)
    with pytest.raises(UserError, match="has no mean and std"):
        ssl_host.extract_features(backbone(mean=()), tmp_path)


def long_images(folder):
    """Write a folder of 12-bit images of 16 x 64 pixels, and return the folder."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        values = rng.integers(0, 4096, (16, 64), dtype=np.uint16)
        Image.fromarray(values).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_fit_and_value_range_of_the_backbone_are_used_for_a_folder(fit, tmp_path):
    folder = long_images(tmp_path / "images")
    network = backbone()
    network.fit, network.value_range = fit, (0.0, 4095.0)
    _, features = ssl_host.extract_features(network, folder)
    pixels = [
        resize_to_square(read_image(path, 3, (0, 4095)), round(16 * 8 / 7), fit)
        for path in sorted(folder.iterdir())
    ]
    view = evaluation_view(torch.stack(pixels), 16, network.mean, network.std)
    assert torch.allclose(features, network(view), atol=1e-6)


def test_given_fit_and_value_range_replace_those_of_the_backbone(tmp_path):
    folder = long_images(tmp_path / "images")
    network, plain = backbone(), backbone()
    network.fit, network.value_range = "pad", (0.0, 4095.0)
    expected = ssl_host.extract_features(network, folder)[1]
    given = ssl_host.extract_features(plain, folder, fit="pad", value_range=(0, 4095))[1]
    assert torch.equal(given, expected)
    for settings in ({"fit": "pad"}, {"value_range": (0, 4095)}):
        other = ssl_host.extract_features(plain, folder, **settings)[1]
        assert not torch.allclose(other, expected, atol=1e-3)


def test_dataset_with_another_fit_than_the_backbone_gives_a_warning(tmp_path):
    folder = long_images(tmp_path / "images")
    network = backbone()
    network.fit = "squash"
    images = ssl_host.FileImages(sorted(folder.iterdir()))
    with pytest.warns(UserWarning, match=r"has fit = crop.* was trained with fit = squash"):
        ssl_host.extract_features(network, images)


def test_batches_start_anywhere_and_list_unreadable_images(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3), dtype=np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes(b"")
    files = FileImages(sorted(tmp_path.glob("*.png")))
    network = backbone()
    whole = list(ssl_host.iterate_features(network, files, batch_size=2))
    assert [batch.indices.tolist() for batch in whole] == [[0, 1], [2], [4]]
    assert [batch.unreadable for batch in whole] == [[], [(3, "the file is empty")], []]
    (*_, rest) = ssl_host.iterate_features(network, files, batch_size=2, start=2)
    assert torch.equal(rest.features, whole[-1].features)
    tokens = next(ssl_host.iterate_features(network, files, batch_size=2, tokens=True)).features
    assert torch.allclose(tokens.mean(dim=1), whole[0].features, atol=1e-6)


def test_images_with_other_channels_raise_an_error():
    gray = ArrayImages(torch.zeros(2, 1, 16, 16, dtype=torch.uint8))
    with pytest.raises(DataError, match="1 channels, but the backbone needs 3"):
        ssl_host.extract_features(backbone(), gray)
