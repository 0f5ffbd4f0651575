"""Apply an augmentation, in any of its three forms, to batches of images."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from ssl_host.augment import torch_backend
from ssl_host.augment.operations import ViewSpec
from ssl_host.augment.specs import expand_specs
from ssl_host.contracts.augmentation import Augmentation, SampleRNG
from ssl_host.contracts.rng import CounterRNG
from ssl_host.errors import ContractError

_FORMS = ("view_specs", "apply_batch", "apply_image")


class ViewMaker:
    """Callable that applies an augmentation to uint8 images and returns normalised views.

    Args:
        augmentation: the augmentation.
        image_size: side of a full-size view, in pixels.
        mean: mean of each channel, for pixels from 0 to 1.
        std: standard deviation of each channel, for pixels from 0 to 1.

    Attributes:
        form: name of the method that the augmentation overrides: ``view_specs``,
            ``apply_batch`` or ``apply_image``.
        specs: one spec for each view; empty if the augmentation does not override
            ``view_specs``.

    Raises:
        ContractError: if the augmentation does not override exactly one of these three methods,
            or if a value of a spec is out of bounds.
    """

    def __init__(
        self,
        augmentation: Augmentation,
        *,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        self.augmentation = augmentation
        self.image_size = image_size
        self.mean = tuple(mean)
        self.std = tuple(std)
        cls = type(augmentation)
        forms = [name for name in _FORMS if getattr(cls, name) is not getattr(Augmentation, name)]
        if len(forms) != 1:
            raise ContractError(
                f"{cls.__qualname__} must override exactly one of {', '.join(_FORMS)}; it "
                f"overrides {' and '.join(forms) or 'none'}"
            )
        self.form = forms[0]
        self.specs: tuple[ViewSpec, ...] = ()
        if self.form == "view_specs":
            self.specs = expand_specs(augmentation.view_specs(), image_size, cls.__qualname__)
        self._view_sizes: list[int] | None = None

    @property
    def num_views(self) -> int:
        """Number of views that are made from each image."""
        return len(self.view_sizes)

    @property
    def num_global(self) -> int:
        """Number of full-size views; they come before the smaller ones."""
        return sum(size == self.image_size for size in self.view_sizes)

    @property
    def view_sizes(self) -> list[int]:
        """Height and width of each view in pixels.

        Without specs, they are determined by making the views of a blank image.
        """
        if self._view_sizes is None:
            side = self.image_size
            blank = torch.zeros(1, len(self.mean), side, side, dtype=torch.uint8)
            self._view_sizes = (
                [spec.size or side for spec in self.specs]
                if self.specs
                else [view.shape[-1] for view in self(blank)]
            )
        return self._view_sizes

    def __call__(
        self, images: Tensor, index: Tensor | None = None, epoch: int = 0, seed: int = 0
    ) -> list[Tensor]:
        """Return the views of a batch.

        Args:
            images: (B, C, H, W), uint8.
            index: (B,), the indices of the images in the data set; default: 0 to B - 1.
            epoch: number of the epoch; each epoch has different random numbers.
            seed: seed of the random numbers.

        Returns:
            One normalised float32 tensor (B, C, S, S) for each view; full-size views come first.
        """
        if index is None:
            index = torch.arange(len(images), device=images.device)
        rng = CounterRNG(seed, epoch, index)
        if self.form == "view_specs":
            return [
                self._render(images, rng, view, spec, crop=True)
                for view, spec in enumerate(self.specs)
            ]
        return self._call_augmentation(images, rng, index, epoch, seed)

    def finish(
        self, crops: Sequence[Tensor], index: Tensor, epoch: int = 0, seed: int = 0
    ) -> list[Tensor]:
        """Return the views of a batch whose images were cropped when they were decoded.

        Args:
            crops: one uint8 tensor (B, C, S, S) for each view, from :meth:`crops`.
            index: (B,), the indices of the images in the data set.
            epoch: number of the epoch; each epoch has different random numbers.
            seed: seed of the random numbers.
        """
        rng = CounterRNG(seed, epoch, index)
        return [
            self._render(crop, rng, view, spec, crop=False)
            for view, (crop, spec) in enumerate(zip(crops, self.specs, strict=True))
        ]

    def crops(self, image: Tensor, index: Tensor, epoch: int, seed: int) -> list[Tensor]:
        """Return each view's crop of one uint8 image (1, C, H, W), as input for :meth:`finish`."""
        rng = CounterRNG(seed, epoch, index)
        return [torch_backend.crop_bytes(image, rng, i, spec) for i, spec in enumerate(self.specs)]

    def crop_and_flip(self, images: Tensor, index: Tensor, epoch: int, seed: int) -> Tensor:
        """Return the images randomly cropped, flipped and normalised, for training a linear probe.

        The images are (B, C, H, W), uint8. If the augmentation has specs, the settings of the first
        view's crop and flip are used, so that digits, for example, are not flipped here either.
        """
        first = self.specs[0] if self.specs else ViewSpec(crop_scale=(0.08, 1.0), flip=0.5)
        spec = ViewSpec(
            size=self.image_size,
            crop_scale=first.crop_scale,
            crop_ratio=first.crop_ratio,
            interpolation=first.interpolation,
            flip=first.flip,
        )
        (spec,) = expand_specs([spec], self.image_size, type(self.augmentation).__qualname__)
        rng = CounterRNG(seed, epoch, index)
        return self._render(images, rng, 0, spec, crop=True)

    def _render(
        self, images: Tensor, rng: CounterRNG, view: int, spec: ViewSpec, crop: bool
    ) -> Tensor:
        """Return one normalised view of each image, made by the fastest suitable backend."""
        has_kernel = images.dtype == torch.uint8 and images.shape[1] in (1, 3)
        if has_kernel and images.device.type == "cpu":
            from ssl_host.augment import numba_backend  # noqa: PLC0415 - imports numba

            return numba_backend.render_view(images, rng, view, spec, self.mean, self.std, crop)
        return torch_backend.render_view(images, rng, view, spec, self.mean, self.std, crop)

    def _call_augmentation(
        self, images: Tensor, rng: SampleRNG, index: Tensor, epoch: int, seed: int
    ) -> list[Tensor]:
        """Return the normalised views that ``apply_batch`` or ``apply_image`` makes of a batch."""
        pixels = images.float() / 255
        if self.form == "apply_batch":
            views = self.augmentation.apply_batch(pixels, rng)
        else:
            samples = index.cpu()
            views_of_images = []
            for i, image in enumerate(pixels):
                image_rng = CounterRNG(seed, epoch, samples[i : i + 1])
                with _global_seed(int(image_rng.bits(0, "global")[0])):
                    views_of_images.append(self.augmentation.apply_image(image, image_rng))
            views = [torch.stack(images) for images in zip(*views_of_images, strict=True)]
        return [_normalise(view, self.mean, self.std) for view in views]


def _normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return ``(images - mean) / std`` for each channel, with float32 statistics."""
    offset, scale = (
        torch.tensor(tuple(values), device=images.device, dtype=torch.float32).view(1, -1, 1, 1)
        for values in (mean, std)
    )
    return (images - offset) / scale


@contextmanager
def _global_seed(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and torch within a ``with`` block only."""
    python, numpy_, torch_ = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_)
        torch.set_rng_state(torch_)


def evaluation_view(
    images: Tensor, image_size: int, mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    """Return each image's centred square, resized and normalised, as input for evaluation.

    Args:
        images: (B, C, H, W), uint8.
        image_size: side of the returned images, in pixels.
        mean: mean of each channel, for pixels from 0 to 1.
        std: standard deviation of each channel, for pixels from 0 to 1.

    Returns:
        (B, C, ``image_size``, ``image_size``), float32.
    """
    spec = ViewSpec(size=image_size)
    rng = CounterRNG(0, 0, torch.zeros(1, dtype=torch.int64))
    pixels = torch_backend.crop_view(images, rng, 0, spec)
    return _normalise(pixels, mean, std)
