"""The views of ReSSL."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from ssl_host import Augmentation, Settings, ViewSpec


class WeakStrongViews(Augmentation):
    """A cropped and flipped view, and one with colour changes too: ReSSL, arXiv:2107.09282."""

    class Config(Settings):
        crop_min: float = Field(
            0.2, gt=0, le=1, description="smallest area of a crop, as a fraction of the image"
        )
        flip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal flip")
        jitter: float = Field(
            0.8, ge=0, le=1, description="probability that the second view's colours change"
        )
        brightness: float = Field(
            0.4, ge=0, le=1, description="strength s of brightness changes: 1 - s to 1 + s times"
        )
        contrast: float = Field(
            0.4, ge=0, le=1, description="strength s of contrast changes: 1 - s to 1 + s times"
        )
        saturation: float = Field(
            0.4, ge=0, le=1, description="strength s of saturation changes: 1 - s to 1 + s times"
        )
        hue: float = Field(
            0.1,
            ge=0,
            le=0.5,
            description="largest shift of the hue, as a fraction of the colour circle",
        )
        grayscale: float = Field(
            0.2, ge=0, le=1, description="probability that the second view is gray"
        )
        blur: float = Field(
            0.5, ge=0, le=1, description="probability that the second view is blurred"
        )

    config: Config

    def view_specs(self) -> Sequence[ViewSpec]:
        config = self.config
        strong = config.model_dump(exclude={"crop_min", "flip"})
        scale = (config.crop_min, 1.0)
        weak = ViewSpec(crop_scale=scale, flip=config.flip)
        return [weak, ViewSpec(crop_scale=scale, flip=config.flip, **strong)]
