"""The executor: an augmentation's specs or functions, applied to a batch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from ssl_host.augment import blur, colour
from ssl_host.augment.draws import CounterDraws
from ssl_host.augment.geometry import affine, crop_boxes, crop_resize
from ssl_host.augment.specs import expand
from ssl_host.contracts.augmentation import Augmentation, Draws, ViewSpec
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
        draws = self._draws(images, index, epoch, seed)
        if self.form == "view_specs":
            return [
                self._in_chunks(images, draws, number, spec, _cropped)
                for number, spec in enumerate(self.specs)
            ]
        return self._foreign(images, draws, index, epoch, seed)

    def finish(
        self, crops: Sequence[Tensor], index: Tensor, epoch: int = 0, seed: int = 0
    ) -> list[Tensor]:
        """Views of crops that a decoder has cut already: one uint8 B C S S tensor a view."""
        draws = self._draws(crops[0], index, epoch, seed)
        return [
            self._in_chunks(crop, draws, number, spec, _resized)
            for number, (crop, spec) in enumerate(zip(crops, self.specs, strict=True))
        ]

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
        draws = self._draws(images, index, epoch, seed)
        return self._in_chunks(images, draws, 0, spec, _cropped)

    def _draws(self, images: Tensor, index: Tensor | None, epoch: int, seed: int) -> CounterDraws:
        if index is None:
            index = torch.arange(len(images), device=images.device)
        return CounterDraws(seed, epoch, index)

    def _in_chunks(
        self,
        images: Tensor,
        draws: Draws,
        number: int,
        spec: ViewSpec,
        place: Callable[[Tensor, Draws, int, ViewSpec], Tensor],
    ) -> Tensor:
        size, channels = spec.size or self.image_size, images.shape[1]
        out = torch.empty(len(images), channels, size, size, device=images.device)
        a_image = 4 * channels * max(size * size, images.shape[2] * images.shape[3])
        rows = max(1, CHUNK_BYTES // a_image) if images.device.type == "cpu" else len(images)
        mean = torch.tensor(self.mean, device=images.device).view(1, -1, 1, 1)
        scale = 1 / torch.tensor(self.std, device=images.device).view(1, -1, 1, 1)
        memo = _Memo(draws)
        for start in range(0, len(images), rows):
            part = slice(start, min(start + rows, len(images)))
            memo.part = part
            view = place(images[part], memo, number, spec)
            view = recolour(view, memo, number, spec)
            torch.mul(view - mean, scale, out=out[part])
        return out

    def _foreign(
        self, images: Tensor, draws: Draws, index: Tensor | None, epoch: int, seed: int
    ) -> list[Tensor]:
        pixels = images.float() / 255
        if self.form == "apply_batch":
            made = self.augmentation.apply_batch(pixels, draws)
        else:
            numbers = torch.arange(len(images)) if index is None else index.cpu()
            each = []
            for i, pixel in enumerate(pixels):
                own = CounterDraws(seed, epoch, numbers[i : i + 1])
                with _global_seed(int(own.bits(0, "global")[0])):
                    each.append(self.augmentation.apply_image(pixel, own))
            made = [torch.stack(views) for views in zip(*each, strict=True)]
        mean = torch.tensor(self.mean, device=images.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, -1, 1, 1)
        return [(view - mean) / std for view in made]


class _Memo:
    """Draws for a whole batch, handed out by chunk: a number is hashed once."""

    def __init__(self, draws: Draws) -> None:
        self.draws = draws
        self.part = slice(None)
        self._kept: dict[tuple[int, str, float, float], Tensor] = {}

    def uniform(self, view: int, parameter: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        key = (view, parameter, low, high)
        if key not in self._kept:
            self._kept[key] = self.draws.uniform(*key)
        return self._kept[key][self.part]


def _cropped(images: Tensor, draws: Draws, number: int, spec: ViewSpec) -> Tensor:
    height, width = images.shape[2:]
    if spec.crop_scale == (1.0, 1.0):
        box = torch.tensor([0, 0, height, width], device=images.device)
        if height != width:  # the whole image, undistorted: the centred square
            side = min(height, width)
            box = torch.tensor([(height - side) // 2, (width - side) // 2, side, side])
            box = box.to(images.device)
        boxes = box.expand(len(images), 4)
        if spec.size == height == width:
            return _placed(_flipped(images.float() / 255, draws, number, spec), draws, number, spec)
    else:
        boxes = crop_boxes(spec, draws, number, height, width)
    flip = draws.uniform(number, "flip") < spec.flip if spec.flip > 0 else None
    assert spec.size is not None
    view = crop_resize(images, boxes, spec.size, spec.interpolation, flip)
    return _placed(view, draws, number, spec)


def _resized(crops: Tensor, draws: Draws, number: int, spec: ViewSpec) -> Tensor:
    return _placed(_flipped(crops.float() / 255, draws, number, spec), draws, number, spec)


def _flipped(images: Tensor, draws: Draws, number: int, spec: ViewSpec) -> Tensor:
    if spec.flip == 0:
        return images
    flip = draws.uniform(number, "flip") < spec.flip
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def _placed(images: Tensor, draws: Draws, number: int, spec: ViewSpec) -> Tensor:
    if not (spec.rotate or spec.translate or spec.shear or spec.zoom != (1.0, 1.0)):
        return images
    side = images.shape[3]

    def either(name: str, reach: float) -> Tensor:
        return draws.uniform(number, name, -reach, reach)

    shift = torch.stack([either("shift_x", spec.translate), either("shift_y", spec.translate)], 1)
    return affine(
        images,
        either("rotate", spec.rotate),
        shift * side,
        either("shear", spec.shear),
        draws.uniform(number, "zoom", *spec.zoom),
    )


def recolour(images: Tensor, draws: Draws, number: int, spec: ViewSpec) -> Tensor:
    """Everything after the geometry; only the samples that were chosen are touched."""
    if spec.jitter > 0:
        images = _jitter(images, draws, number, spec)
    for name, chance, change in (
        ("grayscale", spec.grayscale, lambda x, _: colour.grayscale(x)),
        ("blur", spec.blur, lambda x, rows: _blur(x, rows, draws, number, spec)),
        ("solarize", spec.solarize, lambda x, _: colour.solarize(x)),
    ):
        if chance > 0:
            chosen = draws.uniform(number, name) < chance
            images = _where(images, chosen, change)
    return images


def _blur(images: Tensor, rows: Tensor, draws: Draws, number: int, spec: ViewSpec) -> Tensor:
    sigma = draws.uniform(number, "sigma", *spec.blur_sigma)[rows]
    assert spec.blur_kernel is not None
    return blur.gaussian_blur(images, sigma, spec.blur_kernel)


_JITTER: tuple[tuple[str, Callable[[Tensor, Tensor], Tensor]], ...] = (
    ("brightness", colour.brightness),
    ("contrast", colour.contrast),
    ("saturation", colour.saturation),
    ("hue", colour.hue),
)


def _jitter(images: Tensor, draws: Draws, number: int, spec: ViewSpec) -> Tensor:
    active = [(name, change) for name, change in _JITTER if getattr(spec, name) > 0]
    if images.shape[1] != 3:
        active = [(name, change) for name, change in active if name in ("brightness", "contrast")]
    if not active:
        return images
    chosen = draws.uniform(number, "jitter") < spec.jitter
    # Sorting one number an operation is a uniformly drawn order of them.
    keys = torch.stack([draws.uniform(number, f"order_{name}") for name, _ in active])
    order = keys.argsort(dim=0)
    for turn in order:
        for i, (name, change) in enumerate(active):
            strength = getattr(spec, name)
            if name == "hue":
                amount = draws.uniform(number, name, -strength, strength)
            else:
                amount = draws.uniform(number, name, max(0.0, 1 - strength), 1 + strength)
            images = _where(
                images, chosen & (turn == i), lambda x, rows, f=change, a=amount: f(x, a[rows])
            )
    return images


def _where(
    images: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Apply a change to the chosen rows, in place where there is something to choose."""
    rows = chosen.nonzero().squeeze(1)
    if len(rows) == 0:
        return images
    if len(rows) == len(images):
        return change(images, rows)
    images[rows] = change(images[rows], rows)
    return images


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
    pixels = _cropped(images, CounterDraws(0, 0, torch.zeros(1, dtype=torch.int64)), 0, spec)
    shape = (1, -1, 1, 1)
    offset = torch.tensor(tuple(mean), device=images.device).view(shape)
    return (pixels - offset) / torch.tensor(tuple(std), device=images.device).view(shape)
