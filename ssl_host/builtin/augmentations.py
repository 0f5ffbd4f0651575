"""Built-in augmentations, most of them from papers, defined by view specs.

Resizing is antialiased, and the size of the blur kernel is a tenth of the view's side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import fields, replace
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import Field, create_model

from ssl_host import Augmentation, Settings, UserError, ViewSpec

S = TypeVar("S", bound=Settings)

_GEOMETRY = ("rotate", "translate", "shear")
_NOT_SETTINGS = {
    *_GEOMETRY,
    *("count", "size", "crop_scale", "crop_ratio", "zoom", "blur_sigma", "blur_kernel"),
}
_COMMON = tuple(field.name for field in fields(ViewSpec) if field.name not in _NOT_SETTINGS)
"""Fields of :class:`ViewSpec` that are settings of all augmentations here except ``plain``."""


def with_spec_fields(*names: str) -> Callable[[type[S]], type[S]]:
    """Return a class decorator that adds fields of :class:`ViewSpec` to a settings class.

    The settings have the same types, bounds, descriptions and defaults as the fields.
    """
    hints = get_type_hints(ViewSpec, include_extras=True)

    def extend(cls: type[S]) -> type[S]:
        return _derive_settings_class(
            cls, {name: (hints[name], getattr(ViewSpec, name)) for name in names}
        )

    return extend


def with_defaults(**defaults: object) -> Callable[[type[S]], type[S]]:
    """Return a class decorator that changes the defaults of a settings class."""

    def change(cls: type[S]) -> type[S]:
        declared: dict[str, Any] = cls.model_fields
        changed = {}
        for name, default in defaults.items():
            field = copy(declared[name])
            field.default = default
            changed[name] = (field.annotation, field)
        return _derive_settings_class(cls, changed)

    return change


def _derive_settings_class(cls: type[S], definitions: dict[str, Any]) -> type[S]:
    """Return a subclass that has the same name, with fields added or replaced."""
    options: dict[str, Any] = {"__base__": cls, "__module__": cls.__module__, **definitions}
    subclass = cast("type[S]", create_model(cls.__name__, **options))
    subclass.__qualname__, subclass.__doc__ = cls.__qualname__, cls.__doc__
    return subclass


@with_spec_fields(*_COMMON)
class ViewSettings(Settings):
    """Settings shared by the augmentations; the defaults only resize the image."""

    num_views: int = Field(
        2,
        ge=1,
        le=64,
        description="number of full-size views of each image; default: as many as the method needs",
    )
    crop_min: float = Field(
        1.0, gt=0, le=1, description="smallest area of a crop, as a fraction of the image"
    )
    crop_max: float = Field(
        1.0, gt=0, le=1, description="largest area of a crop, as a fraction of the image"
    )


class LocalViewSettings(Settings):
    """Settings of small views that follow the full-size ones (multi-crop)."""

    num_local: int = Field(6, ge=0, le=64, description="number of small views")
    local_size: int | None = Field(
        None,
        ge=4,
        le=1024,
        description="side of a small view in pixels; default: 3/7 of image_size",
    )
    local_crop_min: float = Field(
        0.05,
        gt=0,
        le=1,
        description="smallest area of a small crop, as a fraction of the image",
    )
    local_crop_max: float = Field(
        0.14, gt=0, le=1, description="largest area of a small crop, as a fraction of the image"
    )


class _Views(Augmentation):
    """Base class of augmentations that make full-size views as described by their settings."""

    def base_spec(self) -> ViewSpec:
        """Return the spec of one full-size view, as described by the settings."""
        config = self.config
        names = [name for name in (*_COMMON, *_GEOMETRY) if name in type(config).model_fields]
        return ViewSpec(
            crop_scale=(min(config.crop_min, config.crop_max), config.crop_max),
            **{name: getattr(config, name) for name in names},
        )

    def view_specs(self) -> Sequence[ViewSpec]:
        return [replace(self.base_spec(), count=self.config.num_views)]


class _LocalViews(_Views):
    """Base class of augmentations that make full-size views and then small ones (multi-crop)."""

    def view_specs(self) -> Sequence[ViewSpec]:
        return [*super().view_specs(), *self.local_views()]

    def local_views(self) -> list[ViewSpec]:
        """Return the spec of the small views, or an empty list if there are none.

        Raises:
            UserError: if small views are as large as the full-size ones.
        """
        config = self.config
        if not config.num_local:
            return []
        size = config.local_size or max(4, self.image_size * 3 // 7)
        if size >= self.image_size:
            raise UserError(
                f"[augmentation] local_size = {size} is not smaller than the full-size views, "
                f"which have [data] image_size = {self.image_size}; use a smaller local_size"
            )
        scale = (min(config.local_crop_min, config.local_crop_max), config.local_crop_max)
        return [replace(self.base_spec(), count=config.num_local, size=size, crop_scale=scale)]


class SimCLRViews(_Views):
    """Views of SimCLR, resized bicubically: Chen et al., arXiv:2002.05709, appendix A.

    For CIFAR the paper halves the colour strengths and omits the blur (appendix B.9).
    """

    @with_defaults(
        crop_min=0.08,
        interpolation="bicubic",
        flip=0.5,
        jitter=0.8,
        brightness=0.8,
        contrast=0.8,
        saturation=0.8,
        hue=0.2,
        grayscale=0.2,
        blur=0.5,
    )
    class Config(ViewSettings):
        """Settings of SimCLR's views."""


class SymmetricWeakViews(_Views):
    """Views of MoCo v2 and SimSiam, resized bilinearly: arXiv:2003.04297, arXiv:2011.10566."""

    @with_defaults(
        crop_min=0.2,
        flip=0.5,
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        grayscale=0.2,
        blur=0.5,
    )
    class Config(ViewSettings):
        """Settings of the views of MoCo v2 and SimSiam."""


class BYOLViews(_Views):
    """Asymmetric views of BYOL and Barlow Twins: arXiv:2006.07733, appendix B.

    Views are resized bicubically. By default the first view is always blurred and never
    solarized; the second is rarely blurred and rarely solarized.
    """

    @with_defaults(
        crop_min=0.08,
        interpolation="bicubic",
        flip=0.5,
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.1,
        grayscale=0.2,
    )
    class Config(ViewSettings):
        """Settings of the views of BYOL and Barlow Twins."""

        blur: float = Field(
            1.0, ge=0, le=1, description="probability that the first view is blurred"
        )
        blur2: float = Field(
            0.1, ge=0, le=1, description="probability that the second view is blurred"
        )
        solarize: float = Field(
            0.0, ge=0, le=1, description="probability that the first view is solarized"
        )
        solarize2: float = Field(
            0.2, ge=0, le=1, description="probability that the second view is solarized"
        )

    def view_specs(self) -> Sequence[ViewSpec]:
        first = self.base_spec()
        second = replace(first, blur=self.config.blur2, solarize=self.config.solarize2)
        return [(first, second)[i % 2] for i in range(self.config.num_views)]


class DINOViews(_LocalViews, BYOLViews):
    """Asymmetric full-size views and several small ones: DINO, arXiv:2104.14294, appendix C.

    The full-size views are those of BYOL with larger crops; half of the small ones are blurred.
    """

    @with_defaults(crop_min=0.4, num_local=8, local_crop_max=0.4)
    class Config(BYOLViews.Config, LocalViewSettings):
        """Settings of DINO's views."""

        local_blur: float = Field(
            0.5, ge=0, le=1, description="probability that a small view is blurred"
        )

    def local_views(self) -> list[ViewSpec]:
        return [
            replace(view, blur=self.config.local_blur, solarize=0.0)
            for view in super().local_views()
        ]


class DigitViews(_LocalViews):
    """Views for digits and text, without flips; they also work for gray images.

    Images are cropped, slightly shifted, rotated and sheared, and their brightness and contrast
    are changed. The settings were chosen for MNIST and are not from a paper. By default there are
    no small views.
    """

    @with_defaults(
        crop_min=0.4,
        rotate=15.0,
        translate=0.1,
        shear=15.0,
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
        num_local=0,
        local_crop_min=0.1,
        local_crop_max=0.4,
    )
    @with_spec_fields(*_GEOMETRY)
    class Config(ViewSettings, LocalViewSettings):
        """Settings of the views for digits."""


class MultiCropViews(_LocalViews):
    """Two full-size views and several small ones: SwAV, arXiv:2006.09882, section 3.3."""

    @with_defaults(crop_min=0.14)
    class Config(SimCLRViews.Config, LocalViewSettings):
        """Settings of SwAV's views."""


class CropViews(_Views):
    """Randomly cropped and flipped views: MAE, arXiv:2111.06377, appendix A.1.

    For I-JEPA set ``crop_min = 0.3`` and ``flip = 0``.
    """

    @with_defaults(crop_min=0.2, interpolation="bicubic", flip=0.5)
    class Config(ViewSettings):
        """Settings of cropped and flipped views."""


class PlainViews(Augmentation):
    """Identical views without random changes: the central square of the image, resized."""

    class Config(Settings):
        num_views: int = Field(
            2, ge=1, le=64, description="number of identical views of each image"
        )

    def view_specs(self) -> Sequence[ViewSpec]:
        return [ViewSpec(count=self.config.num_views)]
