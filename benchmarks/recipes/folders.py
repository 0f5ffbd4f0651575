"""Makes the folders of images on which the rules of ``ssl-host init`` are measured.

    python benchmarks/recipes/folders.py DIR [--elpv FOLDER] [--stamps FOLDER]

Writes DIR/digits (1,797 images of 8 pixels), DIR/mnist (5,000 of 28), DIR/scenes (20,000 rendered
colour images of 64), all with a subfolder for each class, and CSV files for two sets that are not
ours to ship: the package elpv-dataset (CC BY-NC-SA; its folder ``elpv_dataset/data``) and
``usr/share/tuxpaint/stamps`` of Debian's tuxpaint-stamps-default, whose groups are the classes.
``measure_folders.py`` trains on them.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import ssl_host

SHAPES = ("circle", "square", "triangle", "cross", "ring", "star", "bar", "crescent")
NUM_SCENES, SCENE_SIDE = 20_000, 64
MIN_STAMPS = 40
"""Smallest number of stamps in a group that counts as a class."""


def write_source(name: str, folder: Path) -> None:
    """Write all images of a built-in data source as PNG files in a subfolder for each class."""
    source = ssl_host.build("data", name)
    for split in ("train", "test"):
        images = source.open(split)
        if images is None:
            continue
        assert images.labels is not None
        for i in range(len(images)):
            path = folder / images.classes[int(images.labels[i])] / f"{split}{i:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = images.read(i).permute(1, 2, 0).numpy()
            Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(path)


def write_scenes(folder: Path) -> None:
    """Write scenes whose class is the shape of the large object; colours say nothing about it."""
    rng = np.random.default_rng(0)
    for i in range(NUM_SCENES):
        shape = SHAPES[i % len(SHAPES)]
        path = folder / shape / f"{i:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_scene(shape, rng).save(path)


def draw_scene(shape: str, rng: np.random.Generator) -> Image.Image:
    """Draw one large object and up to four small ones on a background with a gradient and noise."""
    side = 2 * SCENE_SIDE
    corners = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    scene = Image.fromarray(corners).resize((side, side), Image.Resampling.BICUBIC)
    objects = [(str(rng.choice(SHAPES)), rng.uniform(6, 12)) for _ in range(rng.integers(0, 5))]
    for name, radius in [*objects, (shape, rng.uniform(26, 44))]:
        centre = rng.uniform(radius, side - radius, 2)
        mask = draw_shape(name, radius, rng.uniform(0, 360), side, tuple(centre))
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        scene.paste(Image.new("RGB", (side, side), colour), mask=mask)
    small = np.asarray(scene.resize((SCENE_SIDE, SCENE_SIDE), Image.Resampling.LANCZOS), float)
    noise = rng.normal(0, rng.uniform(2, 14), small.shape)
    return Image.fromarray(np.clip(small + noise, 0, 255).astype(np.uint8))


def draw_shape(
    name: str, radius: float, angle: float, side: int, centre: tuple[float, ...]
) -> Image.Image:
    """Return the mask of a shape, turned by an angle in degrees, around a centre."""
    size = int(4 * radius)
    mask = Image.new("L", (size, size))
    draw = ImageDraw.Draw(mask)
    middle, r = size / 2, radius
    box = (middle - r, middle - r, middle + r, middle + r)
    if name in ("circle", "ring", "crescent"):
        draw.ellipse(box, fill=255)
        if name == "ring":
            draw.ellipse((middle - r / 2, middle - r / 2, middle + r / 2, middle + r / 2), fill=0)
        if name == "crescent":
            draw.ellipse((middle - r / 2, middle - r, middle + 1.5 * r, middle + r), fill=0)
    elif name in ("triangle", "square", "star"):
        corners = {"triangle": 3, "square": 4, "star": 10}[name]
        points = []
        for k in range(corners):
            reach = 0.45 * r if name == "star" and k % 2 else r
            turn = 2 * np.pi * k / corners
            points.append((middle + reach * np.cos(turn), middle + reach * np.sin(turn)))
        draw.polygon(points, fill=255)
    else:
        draw.rectangle((middle - r, middle - r / 4, middle + r, middle + r / 4), fill=255)
        if name == "cross":
            draw.rectangle((middle - r / 4, middle - r, middle + r / 4, middle + r), fill=255)
    mask = mask.rotate(angle, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(0.7))
    full = Image.new("L", (side, side))
    full.paste(mask, (int(centre[0] - middle), int(centre[1] - middle)))
    return full


def write_elpv(data: Path, file: Path) -> None:
    """Write a CSV of the electroluminescence images: fine or defective solar cells."""
    rows = []
    for line in (data / "labels.csv").read_text("utf-8").splitlines():
        name, probability, *_ = line.split()
        rows.append((data.resolve() / name, "defective" if float(probability) >= 0.5 else "fine"))
    write_table(rows, file)


def write_stamps(folder: Path, file: Path) -> None:
    """Write a CSV of the stamps with their groups, without groups of few stamps."""
    paths = sorted(folder.rglob("*.png"))
    groups = [path.relative_to(folder).parts[0] for path in paths]
    counts = Counter(groups)
    rows = [(p.resolve(), g) for p, g in zip(paths, groups, strict=True) if counts[g] >= MIN_STAMPS]
    write_table(rows, file)


def write_table(rows: list[tuple[Path, str]], file: Path) -> None:
    """Write paths and labels as CSV."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("path", "label"))
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--elpv", type=Path, help="folder elpv_dataset/data of elpv-dataset")
    parser.add_argument("--stamps", type=Path, help="folder usr/share/tuxpaint/stamps")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    write_source("digits", options.folder / "digits")
    write_source("mnist5k", options.folder / "mnist")
    write_scenes(options.folder / "scenes")
    if options.elpv:
        write_elpv(options.elpv, options.folder / "elpv.csv")
    if options.stamps:
        write_stamps(options.stamps, options.folder / "stamps.csv")


if __name__ == "__main__":
    main()
