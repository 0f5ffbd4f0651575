"""Features in memory and on the disk are the same, and so is what is measured on them."""

import gc
from pathlib import Path

import numpy as np
import pytest
import torch

import ssl_host
from ssl_host import FeatureBank, Features
from ssl_host.builtin.evaluators import knn
from ssl_host.evaluate import extract


def images(count=70, side=8):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def mapped(folder):
    lines = Path("/proc/self/maps").read_text("utf-8").splitlines()
    return [line for line in lines if str(folder) in line]


@pytest.mark.parametrize("kind", ["network", "pixels"])
def test_what_does_not_fit_in_memory_is_on_the_disk_and_goes_with_its_user(
    kind, tmp_path, monkeypatch
):
    """Seen to fail with the rows of every block written at the start."""
    monkeypatch.setattr(extract, "BATCH", 16)
    backbone = ssl_host.build("backbone", "small_conv", in_channels=3, image_size=8, num_stages=2)

    def made():
        by = extract.network_features(backbone, lambda x: x.float() / 255)
        represent = {"network": by, "pixels": extract.pixels}[kind]
        return extract.representations(images(), {kind: represent}, tmp_path)[kind]

    inside = made()
    assert not isinstance(inside.numpy().base, np.memmap)
    monkeypatch.setattr(extract, "IN_MEMORY", 100)
    outside = made()
    assert torch.equal(inside, outside)
    maps = mapped(tmp_path)
    assert len(maps) == 1
    assert not list(tmp_path.iterdir())  # without a name: gone even if the process is killed
    del outside
    gc.collect()
    assert not mapped(tmp_path)


@pytest.mark.parametrize("keys", [7, 60, 1000])
def test_neighbours_are_the_same_in_blocks(keys, monkeypatch):
    """A plain loop over all pairs is the reference. Seen to fail with the numbers of a block left
    as they are in it."""
    generator = torch.Generator().manual_seed(1)
    x, xt = (torch.randn(n, 6, generator=generator) for n in (60, 33))
    y, yt = torch.arange(60) % 5, torch.arange(33) % 5
    monkeypatch.setattr(knn, "KEYS", keys)
    evaluator = ssl_host.build("evaluator", "knn", k=9, block=10)
    found = evaluator.evaluate(FeatureBank(Features(x, y), Features(xt, yt), 5)).metrics["top1"]
    right = 0
    for query, label in zip(xt, yt, strict=True):
        cosines = torch.nn.functional.cosine_similarity(query[None], x)
        votes = torch.zeros(5)
        for i in cosines.argsort(descending=True)[:9]:
            votes[y[i]] += (cosines[i] / 0.07).exp()
        right += int(votes.argmax() == label)
    assert found == pytest.approx(right / 33)
