"""The executor: an augmentation's specs or functions, applied to a batch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from ssl_host.augment.rng import ChunkedRNG, CounterRNG
from ssl_host.augment.specs import expand
from ssl_host.augment.torch_backend import crop_bytes, cropped, recolour, resized
from ssl_host.contracts.augmentation import Augmentation, SampleRNG, ViewSpec
from ssl_host.errors import ContractError

CHUNK_BYTES = 4 * 2**20
"""Work in parts whose floats stay in a core's cache: at 224 pixels a whole batch does not."""

_FORMS = ("view_specs", "apply_batch", "apply_image")


class ViewMaker:
    """Makes normalised views of uint8 images.

    Args:
        mean, std: of each channel, on images from 0 to 1.

    Raises:
        ContractError: when the augmentation overrides none or several of its three methods, or
            a spec makes no sense.
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
        own = [name for name in _FORMS if getattr(cls, name) is not getattr(Augmentation, name)]
        if len(own) != 1:
            found = " and ".join(own) or "none"
            raise ContractError(
                f"{cls.__qualname__} must override exactly one of {', '.join(_FORMS)}; it "
                f"overrides {found}"
            )
        self.form = own[0]
        self.specs: tuple[ViewSpec, ...] = ()
        if self.form == "view_specs":
            self.specs = expand(augmentation.view_specs(), image_size, cls.__qualname__)
        self._counted: tuple[int, int] | None = None

    @property
    def num_views(self) -> int:
        """Views of a batch."""
        return len(self.specs) if self.specs else self._count()[0]

    @property
    def num_global(self) -> int:
        """Views of full size, which come first."""
        if self.specs:
            return sum(spec.size == self.image_size for spec in self.specs)
        return self._count()[1]

    def _count(self) -> tuple[int, int]:
        if self._counted is None:
            blank = torch.zeros(
                1, len(self.mean), self.image_size, self.image_size, dtype=torch.uint8
            )
            sizes = [view.shape[-1] for view in self(blank)]
            self._counted = len(sizes), sum(size == self.image_size for size in sizes)
        return self._counted

    def __call__(
        self, images: Tensor, index: Tensor | None = None, epoch: int = 0, seed: int = 0
    ) -> list[Tensor]:
        """Views of a batch.

        Args:
            images: B C H W, uint8.
            index: B, the images' numbers in the data set; 0 to B - 1 if left out.

        Returns:
            One float32 tensor B C H W a view, normalised, full-size ones first.
        """
        rng = self._draws(images, index, epoch, seed)
        if self.form == "view_specs":
            return [
                self._view(images, rng, number, spec, crops=True)
                for number, spec in enumerate(self.specs)
            ]
        return self._foreign(images, rng, index, epoch, seed)

    def finish(
        self, crops: Sequence[Tensor], index: Tensor, epoch: int = 0, seed: int = 0
    ) -> list[Tensor]:
        """Views of crops that a decoder has cut already: one uint8 B C S S tensor a view."""
        rng = self._draws(crops[0], index, epoch, seed)
        return [
            self._view(crop, rng, number, spec, crops=False)
            for number, (crop, spec) in enumerate(zip(crops, self.specs, strict=True))
        ]

    def crops(self, image: Tensor, index: Tensor, epoch: int, seed: int) -> list[Tensor]:
        """Each view's crop of one image 1 C H W of any size, uint8, for :meth:`finish`."""
        rng = CounterRNG(seed, epoch, index)
        return [crop_bytes(image, rng, i, spec) for i, spec in enumerate(self.specs)]

    def crop_and_flip(self, images: Tensor, index: Tensor, epoch: int, seed: int) -> Tensor:
        """A random crop and flip alone, normalised: what the augmented linear protocol sees.

        The crop and the flip are the first view's where that has some, so that digits are not
        flipped here either.
        """
        first = self.specs[0] if self.specs else ViewSpec(crop_scale=(0.08, 1.0), flip=0.5)
        spec = ViewSpec(
            size=self.image_size,
            crop_scale=first.crop_scale,
            crop_ratio=first.crop_ratio,
            interpolation=first.interpolation,
            flip=first.flip,
        )
        rng = self._draws(images, index, epoch, seed)
        return self._view(images, rng, 0, spec, crops=True)

    def _draws(self, images: Tensor, index: Tensor | None, epoch: int, seed: int) -> CounterRNG:
        if index is None:
            index = torch.arange(len(images), device=images.device)
        return CounterRNG(seed, epoch, index)

    def _view(
        self, images: Tensor, rng: CounterRNG, number: int, spec: ViewSpec, crops: bool
    ) -> Tensor:
        """One normalised view of each image; ``crops``: whether the crop is still to be made."""
        usual = images.dtype == torch.uint8 and images.shape[1] in (1, 3)
        if usual and images.device.type == "cpu":
            from ssl_host.augment.numba_backend import views_of  # noqa: PLC0415 - compiles when needed

            return views_of(images, rng, number, spec, self.mean, self.std, crops)
        return self._in_chunks(images, rng, number, spec, cropped if crops else resized)

    def _in_chunks(
        self,
        images: Tensor,
        rng: SampleRNG,
        number: int,
        spec: ViewSpec,
        place: Callable[[Tensor, SampleRNG, int, ViewSpec], Tensor],
    ) -> Tensor:
        """The same, an operation after the other: for GPUs, and the kernel's reference."""
        size, channels = spec.size or self.image_size, images.shape[1]
        out = torch.empty(
            len(images), channels, size, size, device=images.device, dtype=torch.float32
        )
        a_image = 4 * channels * max(size * size, images.shape[2] * images.shape[3])
        rows = max(1, CHUNK_BYTES // a_image) if images.device.type == "cpu" else len(images)
        mean = torch.tensor(self.mean, device=images.device, dtype=torch.float32).view(1, -1, 1, 1)
        scale = 1 / torch.tensor(self.std, device=images.device, dtype=torch.float32).view(
            1, -1, 1, 1
        )
        memo = ChunkedRNG(rng)
        for start in range(0, len(images), rows):
            part = slice(start, min(start + rows, len(images)))
            memo.part = part
            view = place(images[part], memo, number, spec)
            view = recolour(view, memo, number, spec)
            torch.mul(view - mean, scale, out=out[part])
        return out

    def _foreign(
        self, images: Tensor, rng: SampleRNG, index: Tensor | None, epoch: int, seed: int
    ) -> list[Tensor]:
        pixels = images.float() / 255
        if self.form == "apply_batch":
            made = self.augmentation.apply_batch(pixels, rng)
        else:
            numbers = torch.arange(len(images)) if index is None else index.cpu()
            each = []
            for i, pixel in enumerate(pixels):
                own = CounterRNG(seed, epoch, numbers[i : i + 1])
                with _global_seed(int(own.bits(0, "global")[0])):
                    each.append(self.augmentation.apply_image(pixel, own))
            made = [torch.stack(views) for views in zip(*each, strict=True)]
        mean = torch.tensor(self.mean, device=images.device, dtype=torch.float32).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=images.device, dtype=torch.float32).view(1, -1, 1, 1)
        return [(view - mean) / std for view in made]


@contextmanager
def _global_seed(seed: int) -> Iterator[None]:
    """The global generators, seeded for one image and put back."""
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
    """What probes see: the centred square, resized with antialiasing, normalised, never random.

    Args:
        images: B C H W, uint8.

    Returns:
        B C ``image_size`` ``image_size``, float32.
    """
    spec = ViewSpec(size=image_size)
    pixels = cropped(images, CounterRNG(0, 0, torch.zeros(1, dtype=torch.int64)), 0, spec)
    shape = (1, -1, 1, 1)
    offset = torch.tensor(tuple(mean), device=images.device, dtype=torch.float32).view(shape)
    return (pixels - offset) / torch.tensor(
        tuple(std), device=images.device, dtype=torch.float32
    ).view(shape)
