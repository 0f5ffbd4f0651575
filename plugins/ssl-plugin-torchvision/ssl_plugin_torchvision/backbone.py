"""torchvision's models."""

from __future__ import annotations

from typing import Any, Literal

import torchvision
from pydantic import Field
from torch import Tensor, nn

from ssl_host import Backbone, Settings, UserError

_CLASSIFIERS = ("fc", "classifier", "heads", "head")
"""What torchvision calls the classifier that features are taken in front of."""


class Torchvision(Backbone):
    """torchvision's classification models, without their classifier.

    Channels and, for vision transformers, the image size come from the data.
    """

    class Config(Settings):
        model: str = Field(
            "resnet18", min_length=1, description="as in torchvision.models.list_models()"
        )
        weights: str | None = Field(
            None, description="torchvision's weights to start from, such as DEFAULT; downloaded"
        )
        stem: Literal["default", "cifar"] = Field(
            "default",
            description="cifar: 3 x 3 convolution, no pooling, for ResNets on small images",
        )

    def setup(self) -> None:
        self.changes: list[str] = []  # what is done to the model, as lines of code for export()
        self.model: Any = self._make()
        self.feature_dim = self._drop_classifier()
        if self.config.stem == "cifar":
            self._use_cifar_stem()
        elif self.in_channels != 3:
            self._adapt_channels()

    def _make(self) -> Any:
        name = self.config.model
        known = torchvision.models.list_models(module=torchvision.models)
        if name not in known:
            raise UserError(
                f"[backbone] model = {name}: torchvision has no such classification model; "
                f"it has {', '.join(known[:5])} and {len(known) - 5} others"
            )
        try:
            return torchvision.models.get_model(name, weights=self.config.weights, **self._size())
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"[backbone] torchvision could not make {name} with weights = "
                f"{self.config.weights}: {error}"
            ) from None

    def _size(self) -> dict[str, int]:
        return {"image_size": self.image_size} if self.config.model.startswith("vit_") else {}

    def _drop_classifier(self) -> int:
        owner = next(name for name in _CLASSIFIERS if hasattr(self.model, name))
        layer = getattr(self.model, owner)
        if isinstance(layer, nn.Linear):
            self._replace(owner, nn.Identity(), "nn.Identity()")
            return layer.in_features
        last = [name for name, part in layer.named_children() if isinstance(part, nn.Linear)]
        if not last:
            raise UserError(
                f"[backbone] torchvision's {self.config.model} has no linear classifier; "
                "take another model, or the same one from timm"
            )
        linear = layer.get_submodule(last[-1])
        self._replace(f"{owner}.{last[-1]}", nn.Identity(), "nn.Identity()")
        return int(linear.in_features)

    def _replace(self, place: str, layer: nn.Module, code: str) -> None:
        owner, _, attribute = place.rpartition(".")
        self.model.get_submodule(owner).register_module(attribute, layer)
        steps = [f"[{step}]" if step.isdigit() else f".{step}" for step in place.split(".")]
        self.changes.append(f"model{''.join(steps)} = {code}")

    def _use_cifar_stem(self) -> None:
        """A first layer for images of 32 pixels: He et al., arXiv:1512.03385, section 4.2."""
        if not (hasattr(self.model, "conv1") and hasattr(self.model, "maxpool")):
            raise UserError(
                f"[backbone] stem = cifar is for ResNets, and {self.config.model} has none; "
                "set stem = default"
            )
        width = self.model.conv1.out_channels
        conv = nn.Conv2d(self.in_channels, width, 3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        code = f"nn.Conv2d({self.in_channels}, {width}, 3, padding=1, bias=False)"
        self._replace("conv1", conv, code)
        self._replace("maxpool", nn.Identity(), "nn.Identity()")

    def _adapt_channels(self) -> None:
        name, first = next(
            (n, m) for n, m in self.model.named_modules() if isinstance(m, nn.Conv2d)
        )
        if self.config.weights is not None:
            raise UserError(
                f"[backbone] weights = {self.config.weights} are for 3 channels, and the data have "
                f"{self.in_channels}; leave weights out, or let the data give 3 channels"
            )
        shape = (self.in_channels, first.out_channels, first.kernel_size, first.stride)
        bias = first.bias is not None
        twin = nn.Conv2d(*shape, first.padding, bias=bias)  # type: ignore[arg-type]
        given = ", ".join(map(str, (*shape, first.padding)))
        self._replace(name, twin, f"nn.Conv2d({given}, bias={bias})")

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.model(images)
        return features.flatten(1)

    def export(self) -> tuple[nn.Module, dict[str, Any]]:
        """The plain torchvision model, its classifier an identity."""
        about = {"library": "torchvision", "model": self.config.model, "stem": self.config.stem}
        return self.model, {**about, "code": self._code()}

    def _code(self) -> list[str]:
        # Models that came with weights differ by these from those that come without.
        own = {k: getattr(self.model, k, None) for k in ("aux_logits", "transform_input")}
        given = {**self._size(), **{k: v for k, v in own.items() if v is not None}}
        arguments = "".join(f", {key}={value!r}" for key, value in given.items())
        made = f'model = torchvision.models.get_model("{self.config.model}"{arguments})'
        return ["import torchvision", "from torch import nn", "", made, *self.changes]
