"""Batches of two views from ssl-host's view engine, compared with lightly and kornia."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import torch
from comparison import Comparison, compare, speed_of
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import ssl_host
from ssl_host.augment.executor import ViewMaker
from ssl_host.data.batches import EpochPlan, StoreLoader
from ssl_host.data.decoding import FilesLoader
from ssl_host.data.store import pack

BATCH_SIZE = 256
LIGHTLY = "lightly's SimCLRTransform, 2 workers"


class TransformedImages(Dataset):
    """PIL images with a transform, as in lightly's examples."""

    def __init__(self, images: torch.Tensor, transform: object) -> None:
        self.images = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> list[torch.Tensor]:
        return self.transform(self.images[i])


def load_with_workers(dataset: Dataset, batch_size: int) -> DataLoader:
    """Return a loader with two persistent workers, so that their start is not measured."""
    return DataLoader(dataset, batch_size, num_workers=2, persistent_workers=True, drop_last=True)


def compare_small_views() -> Comparison:
    """Make SimCLR's views with blur at 32 pixels."""
    import kornia.augmentation as ka
    from lightly.transforms import SimCLRTransform

    torch.set_num_threads(2)
    images = torch.randint(0, 256, (8 * BATCH_SIZE, 3, 32, 32), dtype=torch.uint8)
    maker = ssl_host.build("augmentation", "simclr", image_size=32)
    dataset = TransformedImages(images[: 2 * BATCH_SIZE], SimCLRTransform(input_size=32))
    lightly = load_with_workers(dataset, BATCH_SIZE)
    kornia = ka.AugmentationSequential(
        ka.RandomResizedCrop((32, 32), scale=(0.08, 1.0)),
        ka.RandomHorizontalFlip(p=0.5),
        ka.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
        ka.RandomGrayscale(p=0.2),
        ka.RandomGaussianBlur((3, 3), (0.1, 2.0), p=0.5),
        ka.Normalize(torch.tensor(maker.mean), torch.tensor(maker.std)),
        data_keys=["input"],
    )

    def make_host_views() -> int:
        for epoch, batch in enumerate(images.split(BATCH_SIZE)):
            maker(batch, torch.arange(BATCH_SIZE), epoch)
        return len(images)

    def make_lightly_views() -> int:
        return sum(len(views[0]) for views in lightly)

    def make_kornia_views() -> int:
        for batch in images[: 4 * BATCH_SIZE].split(BATCH_SIZE):
            pixels = batch.float() / 255
            kornia(pixels), kornia(pixels)
        return 4 * BATCH_SIZE

    return compare(
        "two-view SimCLR batches, 32 px",
        {
            "ssl-host": speed_of(make_host_views),
            LIGHTLY: speed_of(make_lightly_views),
            "kornia, batched": speed_of(make_kornia_views),
        },
        at_least={LIGHTLY: 8, "kornia, batched": 3},
    )


def compare_photographs(num_images: int = 256) -> Comparison:
    """Make views of 224 pixels from a folder of JPEGs of 500 pixels."""
    from lightly.transforms import SimCLRTransform
    from torchvision.datasets import ImageFolder

    torch.set_num_threads(2)
    batch_size = 64
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "images"
        draw_photographs(root / "all", num_images)
        # Lightly decodes an image once for both views, as ssl-host does with files.
        lightly = load_with_workers(ImageFolder(root, SimCLRTransform(input_size=224)), batch_size)
        source = ssl_host.build("data", "imagefolder", root=root, image_size=224)
        images = source.open("train")
        augmentation = ssl_host.build("augmentation", "simclr", image_size=224).augmentation
        maker = ViewMaker(augmentation, image_size=224, mean=source.mean, std=source.std)
        store = pack(images, 3, 256, Path(folder) / "cache")
        plan = EpochPlan(num_images, batch_size, seed=0)
        store_loader = StoreLoader(store, plan)
        files_loader = FilesLoader(images, maker, plan, 256, 2, {})
        cache_numbers = itertools.count()

        def make_views_from_store() -> int:
            count = 0
            for raw in store_loader:
                maker(raw.images, raw.index, raw.epoch)
                count += len(raw.index)
            store_loader.epoch += 1
            return count

        def make_views_from_files() -> int:
            count = 0
            for raw in files_loader:
                maker.finish(raw.images, raw.index, raw.epoch)
                count += len(raw.index)
            files_loader.epoch += 1
            return count

        def make_lightly_views() -> int:
            return sum(len(views[0]) for views, _ in lightly)

        def pack_again() -> int:
            return len(pack(images, 3, 256, Path(folder) / f"cache {next(cache_numbers)}"))

        return compare(
            "two-view batches of 224 px, JPEGs of 500 px that were packed before",
            {
                "ssl-host, packed": speed_of(make_views_from_store),
                LIGHTLY: speed_of(make_lightly_views),
                "ssl-host, decoding files in 2 workers": speed_of(make_views_from_files),
                "packing them, once for all epochs": speed_of(pack_again),
            },
            at_least={LIGHTLY: 2},
        )


def draw_photographs(folder: Path, num_images: int) -> None:
    """Write JPEGs of 500 x 375 pixels with edges, gradients and noise, as in photographs."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    y, x = np.mgrid[0:375, 0:500] / 375
    for i in range(num_images):
        waves = generator.uniform(2, 40, (3, 2))
        pixels = [np.sin(a * x + b * y + i) for a, b in waves]
        noisy = np.stack(pixels, axis=2) * 90 + 128 + generator.normal(0, 12, (375, 500, 3))
        image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        image.save(folder / f"{i}.jpg", quality=90)
