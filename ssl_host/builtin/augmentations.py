"""The views of the papers, as specs. All resizing is antialiased; blur is a tenth of the view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from ssl_host import Augmentation, Settings, UserError, ViewSpec


class ViewSettings(Settings):
    """What the recipes of the papers have in common; the defaults change nothing."""

    crop_min: float = Field(1.0, gt=0, le=1, description="smallest area of a crop")
    crop_max: float = Field(1.0, gt=0, le=1, description="largest area of a crop")
    interpolation: Literal["bilinear", "bicubic"] = Field(
        "bilinear", description="how crops are resized, always antialiased"
    )
    flip: float = Field(0.0, ge=0, le=1, description="probability of a horizontal flip")
    jitter: float = Field(0.0, ge=0, le=1, description="probability of the colour jitter")
    brightness: float = Field(0.0, ge=0, le=4, description="strength of the brightness jitter")
    contrast: float = Field(0.0, ge=0, le=4, description="strength of the contrast jitter")
    saturation: float = Field(0.0, ge=0, le=4, description="strength of the saturation jitter")
    hue: float = Field(0.0, ge=0, le=0.5, description="strength of the hue jitter")
    grayscale: float = Field(0.0, ge=0, le=1, description="probability of grayscale")
    blur: float = Field(0.0, ge=0, le=1, description="probability of Gaussian blur")
    solarize: float = Field(0.0, ge=0, le=1, description="probability of solarizing")


class _Recipe(Augmentation):
    """Views by the settings above."""

    num_views = 2

    def base(self) -> ViewSpec:
        """One view as the settings say."""
        config: Any = self.config
        return ViewSpec(
            crop_scale=(min(config.crop_min, config.crop_max), config.crop_max),
            interpolation=config.interpolation,
            flip=config.flip,
            jitter=config.jitter,
            brightness=config.brightness,
            contrast=config.contrast,
            saturation=config.saturation,
            hue=config.hue,
            grayscale=config.grayscale,
            blur=config.blur,
            solarize=config.solarize,
        )

    def view_specs(self) -> Sequence[ViewSpec]:
        return [replace(self.base(), count=self.num_views)]


class SimCLRViews(_Recipe):
    """SimCLR's views: Chen et al., arXiv:2002.05709, appendix A. Bicubic.

    For CIFAR the paper halves the colour strengths and leaves the blur out (appendix B.9).
    """

    class Config(ViewSettings):
        crop_min: float = Field(0.08, gt=0, le=1, description="smallest area of a crop")
        interpolation: Literal["bilinear", "bicubic"] = Field(
            "bicubic", description="how crops are resized, always antialiased"
        )
        flip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal flip")
        jitter: float = Field(0.8, ge=0, le=1, description="probability of the colour jitter")
        brightness: float = Field(0.8, ge=0, le=4, description="strength of the brightness jitter")
        contrast: float = Field(0.8, ge=0, le=4, description="strength of the contrast jitter")
        saturation: float = Field(0.8, ge=0, le=4, description="strength of the saturation jitter")
        hue: float = Field(0.2, ge=0, le=0.5, description="strength of the hue jitter")
        grayscale: float = Field(0.2, ge=0, le=1, description="probability of grayscale")
        blur: float = Field(0.5, ge=0, le=1, description="probability of Gaussian blur")


class SymmetricWeakViews(_Recipe):
    """MoCo v2's and SimSiam's views: arXiv:2003.04297, arXiv:2011.10566. Bilinear."""

    class Config(ViewSettings):
        crop_min: float = Field(0.2, gt=0, le=1, description="smallest area of a crop")
        flip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal flip")
        jitter: float = Field(0.8, ge=0, le=1, description="probability of the colour jitter")
        brightness: float = Field(0.4, ge=0, le=4, description="strength of the brightness jitter")
        contrast: float = Field(0.4, ge=0, le=4, description="strength of the contrast jitter")
        saturation: float = Field(0.4, ge=0, le=4, description="strength of the saturation jitter")
        hue: float = Field(0.1, ge=0, le=0.5, description="strength of the hue jitter")
        grayscale: float = Field(0.2, ge=0, le=1, description="probability of grayscale")
        blur: float = Field(0.5, ge=0, le=1, description="probability of Gaussian blur")


class BYOLViews(_Recipe):
    """BYOL's and Barlow Twins' two unlike views: arXiv:2006.07733, appendix B. Bicubic.

    The first is always blurred and never solarized; the second seldom either.
    """

    class Config(ViewSettings):
        crop_min: float = Field(0.08, gt=0, le=1, description="smallest area of a crop")
        interpolation: Literal["bilinear", "bicubic"] = Field(
            "bicubic", description="how crops are resized, always antialiased"
        )
        flip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal flip")
        jitter: float = Field(0.8, ge=0, le=1, description="probability of the colour jitter")
        brightness: float = Field(0.4, ge=0, le=4, description="strength of the brightness jitter")
        contrast: float = Field(0.4, ge=0, le=4, description="strength of the contrast jitter")
        saturation: float = Field(0.2, ge=0, le=4, description="strength of the saturation jitter")
        hue: float = Field(0.1, ge=0, le=0.5, description="strength of the hue jitter")
        grayscale: float = Field(0.2, ge=0, le=1, description="probability of grayscale")
        blur: float = Field(1.0, ge=0, le=1, description="probability of blur, first view")
        blur2: float = Field(0.1, ge=0, le=1, description="probability of blur, second view")
        solarize: float = Field(0.0, ge=0, le=1, description="of solarizing, first view")
        solarize2: float = Field(0.2, ge=0, le=1, description="of solarizing, second view")

    def view_specs(self) -> Sequence[ViewSpec]:
        first = self.base()
        return [first, replace(first, blur=self.config.blur2, solarize=self.config.solarize2)]


class DigitViews(_Recipe):
    """Views for digits and text: nothing is mirrored, and no colour is needed.

    Crops, small shifts, rotations and shears, brightness and contrast; chosen for MNIST, from
    no paper.
    """

    class Config(ViewSettings):
        crop_min: float = Field(0.4, gt=0, le=1, description="smallest area of a crop")
        rotate: float = Field(15.0, ge=0, le=180, description="largest rotation, in degrees")
        translate: float = Field(0.1, ge=0, le=1, description="largest shift, part of the side")
        shear: float = Field(15.0, ge=0, le=80, description="largest shear, in degrees")
        jitter: float = Field(0.8, ge=0, le=1, description="probability of the contrast jitter")
        brightness: float = Field(0.4, ge=0, le=4, description="strength of the brightness jitter")
        contrast: float = Field(0.4, ge=0, le=4, description="strength of the contrast jitter")

    def base(self) -> ViewSpec:
        config = self.config
        return replace(
            super().base(), rotate=config.rotate, translate=config.translate, shear=config.shear
        )


class MultiCropViews(_Recipe):
    """Two full-size views and several small ones: SwAV, arXiv:2006.09882, section 3.3."""

    class Config(SimCLRViews.Config):
        crop_min: float = Field(0.14, gt=0, le=1, description="smallest area of a full-size crop")
        num_local: int = Field(6, ge=0, le=64, description="number of small views")
        local_size: int | None = Field(
            None, ge=4, le=1024, description="side of a small view in pixels; default 3/7 of a view"
        )
        local_crop_min: float = Field(0.05, gt=0, le=1, description="smallest area of a small crop")
        local_crop_max: float = Field(0.14, gt=0, le=1, description="largest area of a small crop")

    def view_specs(self) -> Sequence[ViewSpec]:
        config = self.config
        views = [replace(self.base(), count=2)]
        if config.num_local:
            scale = (min(config.local_crop_min, config.local_crop_max), config.local_crop_max)
            size = config.local_size or max(4, self.image_size * 3 // 7)
            if size >= self.image_size:
                raise UserError(
                    f"[augmentation] local_size = {size} is not smaller than the views, "
                    f"[data] image_size = {self.image_size}"
                )
            local = replace(self.base(), count=config.num_local, size=size, crop_scale=scale)
            views.append(local)
        return views


class PlainViews(Augmentation):
    """The image itself, resized, as often as is asked."""

    class Config(Settings):
        num_views: int = Field(2, ge=1, le=64, description="number of equal views")

    def view_specs(self) -> Sequence[ViewSpec]:
        return [ViewSpec(count=self.config.num_views)]
