"""timm's models."""

from __future__ import annotations

from typing import Any, Literal

import timm
from pydantic import Field
from torch import Tensor, nn

from ssl_host import Backbone, Settings, UserError


class Timm(Backbone):
    """Every model of timm (Wightman, https://github.com/huggingface/pytorch-image-models).

    Features are what the model gives without its classifier: pooled, B D. Channels and, for
    vision transformers, the image size come from the data.
    """

    class Config(Settings):
        model: str = Field("resnet18", min_length=1, description="name, as in timm.list_models()")
        pretrained: bool = Field(False, description="download timm's weights to start from")
        stem: Literal["default", "cifar"] = Field(
            "default",
            description="cifar: 3 x 3 convolution, no pooling, for ResNets on small images",
        )
        img_size: int | None = Field(
            None, ge=4, le=4096, description="side a transformer is built for; default: the data's"
        )
        patch_size: int | None = Field(
            None, ge=1, le=512, description="side of a transformer's patches; default: the model's"
        )
        drop_path: float | None = Field(
            None, ge=0, le=1, description="rate of stochastic depth; default: the model's"
        )

    def setup(self) -> None:
        self.arguments = self._arguments()
        try:
            self.model: Any = timm.create_model(
                self.config.model, pretrained=self.config.pretrained, **self.arguments
            )
        except TypeError as error:
            raise UserError(
                f"[backbone] timm's {self.config.model} does not take "
                f"{', '.join(k for k in self.arguments if k not in ('in_chans', 'num_classes'))} "
                f"({error}); img_size and patch_size are for vision transformers"
            ) from None
        except (OSError, AssertionError, ValueError) as error:
            raise self._explained(error) from None
        if self.config.stem == "cifar":
            self._use_cifar_stem()
        model: Any = self.model
        self.feature_dim = int(getattr(model, "head_hidden_size", model.num_features))

    def _arguments(self) -> dict[str, Any]:
        config = self.config
        if not timm.is_model(config.model):
            stem = config.model.split("_")[0]
            near = timm.list_models([f"{stem}*", "resnet*"])[:5]
            raise UserError(
                f"[backbone] model = {config.model}: timm has no such model; "
                f"it has {', '.join(near)} and others"
            )
        arguments: dict[str, Any] = {"in_chans": self.in_channels, "num_classes": 0}
        if config.img_size not in (None, self.image_size):
            raise UserError(
                f"[backbone] img_size = {config.img_size}, but [data] image_size is "
                f"{self.image_size}, which is the side of the views; leave img_size out"
            )
        about = timm.get_pretrained_cfg(config.model)
        fixed = bool(about is not None and about.fixed_input_size)
        if config.img_size is not None or fixed:
            arguments["img_size"] = config.img_size or self.image_size
        if config.patch_size is not None:
            arguments["patch_size"] = config.patch_size
        if config.drop_path is not None:
            arguments["drop_path_rate"] = config.drop_path
        return arguments

    def _explained(self, error: Exception) -> UserError:
        if self.config.pretrained:
            return UserError(
                f"[backbone] pretrained weights of timm's {self.config.model} could not be had: "
                f"{error}; check the connection, or set pretrained = false"
            )
        return UserError(f"[backbone] timm could not make {self.config.model}: {error}")

    def _use_cifar_stem(self) -> None:
        """A first layer for images of 32 pixels: He et al., arXiv:1512.03385, section 4.2."""
        if not (
            isinstance(getattr(self.model, "conv1", None), nn.Conv2d)
            and hasattr(self.model, "maxpool")
        ):
            raise UserError(
                f"[backbone] stem = cifar is for ResNets, and {self.config.model} has none; "
                "set stem = default"
            )
        width = self.model.conv1.out_channels
        self.model.conv1 = nn.Conv2d(self.in_channels, width, 3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(self.model.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.model.maxpool = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.model(images)
        return features

    def export(self) -> tuple[nn.Module, dict[str, Any]]:
        """The plain timm model."""
        about = {"library": "timm", "model": self.config.model, "arguments": self.arguments}
        about |= {"stem": self.config.stem, "code": self._code()}
        if self.config.stem == "default":
            about["hub"] = self._hub()
        return self.model, about

    def _code(self) -> list[str]:
        given = "".join(f", {key}={value!r}" for key, value in self.arguments.items())
        made = f'model = timm.create_model("{self.config.model}"{given})'
        if self.config.stem == "default":
            return ["import timm", "", made]
        conv = self.model.conv1
        return [
            *("import timm", "from torch import nn", "", made),
            f"model.conv1 = nn.Conv2d({conv.in_channels}, {conv.out_channels}, 3, padding=1, "
            "bias=False)",
            "model.maxpool = nn.Identity()",
        ]

    def _hub(self) -> dict[str, Any]:
        """The part of a hub folder's ``config.json`` that only timm knows."""
        stated = self.model.pretrained_cfg
        return {
            "architecture": stated["architecture"],
            "num_classes": 0,
            "num_features": self.model.num_features,
            "model_args": {k: v for k, v in self.arguments.items() if k != "num_classes"},
            "pretrained_cfg": {
                "num_classes": 0,
                "classifier": stated.get("classifier"),
                "fixed_input_size": stated.get("fixed_input_size", False),
                "pool_size": None,
                # Named, timm would sum or multiply its channels as if they were of three colours.
                "first_conv": None,
            },
        }
