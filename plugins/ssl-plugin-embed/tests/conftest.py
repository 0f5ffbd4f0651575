"""Fixtures of all tests of this plugin."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import ssl_host


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread, since several test processes share the cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def catalog():
    return ssl_host.Catalog()


@pytest.fixture
def network():
    """Return a small convolutional network with random weights, for images of 16 pixels."""
    torch.manual_seed(0)
    made = ssl_host.build(
        "backbone", "small_conv", in_channels=3, image_size=16, width=4, num_stages=2
    )
    made.mean, made.std = (0.4,) * 3, (0.3,) * 3
    return made


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Enter the folder of a test, so that paths are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(network, tmp_path):
    """Write the files of the trained backbone of a run, and return the run's relative folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    ssl_host.write_tensors(folder / "backbone.safetensors", network.state_dict())
    settings = {"name": "small_conv", "settings": network.config.model_dump(mode="json")}
    sizes = {"in_channels": 3, "image_size": 16}
    about = {"backbone": settings, "mean": network.mean, "std": network.std, **sizes}
    (folder / "backbone.json").write_text(json.dumps(about), "utf-8")
    return folder.name


@pytest.fixture
def save_images():
    """Return a function that saves an image of noise for each seed, with the seed as its name."""

    def save(folder, seeds):
        folder.mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            noise = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / f"{seed}.png")

    return save


@pytest.fixture
def photos(in_folder, save_images):
    """Write 11 images in two classes, two of them broken, and return their relative folder."""
    save_images(in_folder / "photos" / "cat", range(6))
    save_images(in_folder / "photos" / "dog", range(6, 9))
    for name in ("cat/3b.png", "dog/7b.jpg"):
        (in_folder / "photos" / name).write_bytes(b"")
    return "photos"


@pytest.fixture
def read_output():
    """Return a function that reads the features in a file, and its rows (path, split, ...)."""
    return _read_output


def _read_output(file):
    import pyarrow.csv
    import pyarrow.parquet
    from safetensors.numpy import load_file

    rows_file = file.with_name(f"{file.name}.csv")
    columns = ["path", "split", "label", "class"]
    if file.suffix == ".parquet":
        table = pyarrow.parquet.read_table(file)
        features = np.array(table["features"].to_pylist())
    else:
        table = pyarrow.csv.read_csv(rows_file)
        if file.suffix == ".npy":
            features = np.load(file, mmap_mode="r")
        else:
            tensors = load_file(file)
            features = tensors["features"]
            assert tensors["labels"].tolist() == table["label"].to_pylist()
    rows = list(zip(*(table[column].to_pylist() for column in columns), strict=True))
    return features, rows
