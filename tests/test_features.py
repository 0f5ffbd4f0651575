"""Tests of features of folders and datasets."""

import numpy as np
import pytest
import torch
from PIL import Image

import ssl_host
from ssl_host import ArrayImages
from ssl_host.augment.executor import evaluation_view
from ssl_host.errors import DataError, UserError


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
    with pytest.warns(UserWarning, match="1 images could not be read, for example broken.jpg"):
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
