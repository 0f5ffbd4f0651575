"""Listing the images of a run once, in one process and in several."""

import os
import time

import torch
from PIL import Image
from rich.console import Console

import ssl_host
from ssl_host.data.splits import open_splits
from ssl_host.pipeline import listing
from ssl_host.pipeline.listing import ListingProgress, read_listing, share_listing


def folder(root):
    for i in range(10):
        path = root / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 7), (i, 0, 0)).save(path)
    return ssl_host.build("data", "imagefolder", root=root)


def same(one, two):
    return all(
        [a.name(i) for i in range(len(a))] == [b.name(i) for i in range(len(b))]
        and torch.equal(a.labels, b.labels)
        and torch.equal(a.read(1), b.read(1))
        for a, b in ((one.train, two.train), (one.test, two.test))
    )


def test_processes_that_lightning_starts_read_the_listing(tmp_path):
    splits = open_splits(folder(tmp_path / "x"), 0.2)
    assert read_listing(tmp_path) is None
    with share_listing(splits, tmp_path):
        assert same(read_listing(tmp_path / "elsewhere"), splits)
    assert listing.LISTING_VARIABLE not in os.environ
    assert read_listing(tmp_path) is None
    assert not list(tmp_path.glob(".listing*"))


def test_processes_that_torchrun_starts_wait_for_the_listing(tmp_path, monkeypatch):
    monkeypatch.setenv("MASTER_PORT", "29500")
    splits = open_splits(folder(tmp_path / "x"), 0.2)
    monkeypatch.setattr(listing, "WAIT_S", 0.3)
    assert read_listing(tmp_path) is None
    with share_listing(splits, tmp_path):
        monkeypatch.delenv(listing.LISTING_VARIABLE)
        assert same(read_listing(tmp_path), splits)
        (file,) = tmp_path.glob(".listing*")
        os.utime(file, (0, listing._STARTED - 100))  # left by a process that was killed
        assert read_listing(tmp_path) is None


def test_images_in_memory_are_opened_in_each_process(tmp_path):
    splits = open_splits(ssl_host.build("data", "synthetic"), 0.2)
    with share_listing(splits, tmp_path):
        assert read_listing(tmp_path) is None


def test_progress_is_printed_at_most_once_in_two_seconds(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    console = Console(record=True, quiet=False, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    progress = ListingProgress(console)
    for seconds in range(5):
        clock[0] = float(seconds)
        progress(1000 * seconds)
    assert console.export_text().split("\n") == [
        "listing images: 2,000 so far",
        "listing images: 4,000 so far",
        "",
    ]
