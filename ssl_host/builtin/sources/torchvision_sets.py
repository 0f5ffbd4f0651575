"""Data sources ``cifar10``, ``cifar100`` and ``stl10``, which torchvision downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from ssl_host import ArrayImages, DataError, DataSource, ImageDataset, Settings


class _DownloadedDataSet(DataSource):
    """Base class of data sets that torchvision downloads."""

    class Config(Settings):
        root: Path = Field(
            Path("data"),
            description="folder that contains the data set, or to which it is downloaded",
        )
        image_size: int = Field(32, ge=8, le=1024, description="side of a view in pixels")
        download: bool = Field(True, description="download the data set if files are missing")

    def _load(self, dataset: Any, **kwargs: Any) -> Any:
        """Return an instance of torchvision's class ``dataset``; download the files if necessary.

        Raises:
            DataError: if files are missing and cannot be downloaded.
        """
        root, name = self.config.root, type(self).__name__
        if not self.config.download and not root.is_dir():
            raise DataError(
                f"[data] root = {root}: no such folder; set root to the folder that contains "
                f"{name}, or download = true"
            )
        try:
            return dataset(str(root), download=self.config.download, **kwargs)
        except (OSError, RuntimeError) as error:
            if not self.config.download:
                raise DataError(
                    f"[data] {name} is not complete in {root}; set root to the folder that "
                    "contains its unpacked files, or download = true"
                ) from None
            raise DataError(
                f"[data] {name} is not complete in {root} and cannot be downloaded ({error}); copy "
                "its archive to that folder, or set [data] download = false and set root to the "
                "folder that contains its unpacked files"
            ) from None


class CIFAR10(_DownloadedDataSet):
    """50,000 training and 10,000 test photos, 32 x 32, in 10 classes (Krizhevsky 2009)."""

    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)

    def open(self, split: str) -> ImageDataset | None:
        from torchvision import datasets  # noqa: PLC0415 - heavy

        data = self._load(getattr(datasets, type(self).__name__), train=split != "test")
        images = torch.from_numpy(np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)))
        return ArrayImages(images, torch.tensor(data.targets), tuple(data.classes))


class CIFAR100(CIFAR10):
    """50,000 training and 10,000 test photos, 32 x 32, in 100 classes (Krizhevsky 2009)."""

    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)


class STL10(_DownloadedDataSet):
    """113,000 photos of 96 x 96 pixels, most of them without labels (Coates et al. 2011).

    100,000 images are unlabelled; 5,000 training and 8,000 test images have labels. Pretraining
    uses the unlabelled and the labelled training images; evaluators are trained on the labelled
    training images only.
    """

    class Config(_DownloadedDataSet.Config):
        image_size: int = Field(96, ge=8, le=1024, description="side of a view in pixels")

    mean = (0.4467, 0.4398, 0.4066)
    std = (0.2603, 0.2566, 0.2713)

    def open(self, split: str) -> ImageDataset | None:
        from torchvision import datasets  # noqa: PLC0415 - heavy

        name = {"train": "train+unlabeled", "probe": "train", "test": "test"}[split]
        data = self._load(datasets.STL10, split=name)
        labels = torch.from_numpy(data.labels.astype(np.int64))  # -1 for the unlabelled images
        return ArrayImages(torch.from_numpy(data.data), labels, tuple(data.classes))
