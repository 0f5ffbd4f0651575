"""Two views a batch: the batched engine against what makes views elsewhere."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sides import Comparison, clocked, compare
from torch.utils.data import DataLoader, Dataset

import ssl_host
from ssl_host.augment.executor import ViewMaker
from ssl_host.data.batches import EpochPlan, StoreLoader
from ssl_host.data.decoding import FilesLoader
from ssl_host.data.store import pack

BATCH = 256


class Pictures(Dataset):
    """PIL images and a transform, as lightly's examples have them."""

    def __init__(self, images: torch.Tensor, transform: object) -> None:
        self.images = [Image.fromarray(i.permute(1, 2, 0).numpy()) for i in images]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> list[torch.Tensor]:
        return self.transform(self.images[i])


def workers(dataset: Dataset, batch: int) -> DataLoader:
    """Two workers that stay: starting them is no part of the measure."""
    return DataLoader(dataset, batch, num_workers=2, persistent_workers=True, drop_last=True)


def exhaust(loader: DataLoader) -> int:
    """Images of an epoch."""
    return sum(len(views[0]) for views in loader)


def small() -> Comparison:
    """Rows 1 and 2: 32 pixels, SimCLR's views with blur."""
    import kornia.augmentation as ka
    from lightly.transforms import SimCLRTransform

    torch.set_num_threads(2)
    images = torch.randint(0, 256, (8 * BATCH, 3, 32, 32), dtype=torch.uint8)
    maker = ssl_host.build("augmentation", "simclr", image_size=32)
    lightly = workers(Pictures(images[: 2 * BATCH], SimCLRTransform(input_size=32)), BATCH)
    chain = ka.AugmentationSequential(
        ka.RandomResizedCrop((32, 32), scale=(0.08, 1.0)),
        ka.RandomHorizontalFlip(p=0.5),
        ka.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
        ka.RandomGrayscale(p=0.2),
        ka.RandomGaussianBlur((3, 3), (0.1, 2.0), p=0.5),
        ka.Normalize(torch.tensor(maker.mean), torch.tensor(maker.std)),
        data_keys=["input"],
    )

    def ours() -> int:
        for epoch, part in enumerate(images.split(BATCH)):
            maker(part, torch.arange(BATCH), epoch)
        return len(images)

    def kornias() -> int:
        for part in images[: 4 * BATCH].split(BATCH):
            pixels = part.float() / 255
            chain(pixels), chain(pixels)
        return 4 * BATCH

    return compare(
        "two-view SimCLR batches, 32 px",
        {
            "ssl-host": clocked(ours),
            "lightly's SimCLRTransform, 2 workers": clocked(lambda: exhaust(lightly)),
            "kornia, batched": clocked(kornias),
        },
        at_least={"lightly's SimCLRTransform, 2 workers": 8, "kornia, batched": 3},
    )


def photographs(count: int = 256) -> Comparison:
    """Row 3: a folder of JPEGs of 500 pixels, views of 224."""
    from lightly.transforms import SimCLRTransform
    from torchvision.datasets import ImageFolder

    torch.set_num_threads(2)
    batch = 64
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "images"
        draw_photographs(root / "all", count)
        # Theirs decodes an image once and cuts both views from it, as ours does from files.
        theirs = workers(ImageFolder(root, SimCLRTransform(input_size=224)), batch)
        source = ssl_host.build("data", "imagefolder", root=root, image_size=224)
        images = source.open("train")
        augmentation = ssl_host.build("augmentation", "simclr", image_size=224).augmentation
        maker = ViewMaker(augmentation, image_size=224, mean=source.mean, std=source.std)
        store = pack(images, 3, 256, Path(place) / "cache")
        plan = EpochPlan(count, batch, seed=0)
        packed = StoreLoader(store, plan)
        files = FilesLoader(images, maker, plan, 256, 2, {})

        def ours() -> int:
            done = 0
            for raw in packed:
                maker(raw.images, raw.index, raw.epoch)
                done += len(raw.index)
            packed.epoch += 1
            return done

        def decoded() -> int:
            done = 0
            for raw in files:
                maker.finish(raw.images, raw.index, raw.epoch)
                done += len(raw.index)
            files.epoch += 1
            return done

        caches = itertools.count()

        def packing() -> int:
            return len(pack(images, 3, 256, Path(place) / f"cache {next(caches)}"))

        sides = {
            "ssl-host, packed": clocked(ours),
            "lightly's SimCLRTransform, 2 workers": clocked(
                lambda: sum(len(views[0]) for views, _ in theirs)
            ),
            "ssl-host, decoding files in 2 workers": clocked(decoded),
            "packing them, once for all epochs": clocked(packing),
        }
        return compare(
            "two-view batches of 224 px, JPEGs of 500 px that were packed before",
            sides,
            at_least={"lightly's SimCLRTransform, 2 workers": 2},
        )


def draw_photographs(folder: Path, count: int) -> None:
    """JPEGs of 500 x 375 pixels with what decoders work on: edges, gradients, noise."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    y, x = np.mgrid[0:375, 0:500] / 375
    for i in range(count):
        waves = generator.uniform(2, 40, (3, 2))
        pixels = [np.sin(a * x + b * y + i) for a, b in waves]
        noisy = np.stack(pixels, axis=2) * 90 + 128 + generator.normal(0, 12, (375, 500, 3))
        picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        picture.save(folder / f"{i}.jpg", quality=90)
