"""Features in memory and on the disk are equal, and so are the figures computed from them."""

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
def test_large_features_are_on_the_disk_until_their_tensor_is_deleted(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "BATCH_SIZE", 16)
    backbone = ssl_host.build("backbone", "small_conv", in_channels=3, image_size=8, num_stages=2)

    def compute():
        network = extract.network_features(backbone, lambda x: x.float() / 255)
        represent = {"network": network, "pixels": lambda x: x.float().flatten(1)}[kind]
        return extract.compute_features(images(), {kind: represent}, tmp_path)[kind]

    in_memory = compute()
    assert not isinstance(in_memory.numpy().base, np.memmap)
    monkeypatch.setattr(extract, "MAX_BYTES_IN_MEMORY", 100)
    on_disk = compute()
    assert torch.equal(in_memory, on_disk)
    maps = mapped(tmp_path)
    assert len(maps) == 1
    assert not list(tmp_path.iterdir())  # without a name: deleted even if the process is killed
    del on_disk
    gc.collect()
    assert not mapped(tmp_path)


@pytest.mark.parametrize("keys", [7, 60, 1000])
def test_neighbours_in_blocks_equal_a_plain_loop(keys, monkeypatch):
    generator = torch.Generator().manual_seed(1)
    x, xt = (torch.randn(n, 6, generator=generator) for n in (60, 33))
    y, yt = torch.arange(60) % 5, torch.arange(33) % 5
    monkeypatch.setattr(knn, "KEY_BLOCK", keys)
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
