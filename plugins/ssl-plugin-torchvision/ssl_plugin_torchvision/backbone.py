"""The backbone ``torchvision``: any classification model of torchvision."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Literal

import torchvision
from pydantic import Field
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

from ssl_host import Backbone, DownloadError, Settings, Tokens, UserError

_CLASSIFIERS = ("fc", "classifier", "heads", "head")
"""Names that the attribute with the classifier may have in torchvision's models."""


_AUXILIARY_CLASSIFIERS = ("aux1", "aux2", "AuxLogits")
"""Names that the auxiliary classifiers have in torchvision's models."""


class Torchvision(Backbone):
    """Any classification model of torchvision, without its classifier.

    The features (B, D) are the input of the removed classifier. The number of input channels and,
    for vision transformers, the image size are taken from the data.
    """

    class Config(Settings):
        model: str = Field(
            "resnet18",
            min_length=1,
            description="name of the model, from torchvision.models.list_models()",
        )
        weights: str | None = Field(
            None,
            description="torchvision weights to start from, such as DEFAULT; they are downloaded",
        )
        stem: Literal["default", "cifar"] = Field(
            "default",
            description="first layers of a ResNet; cifar: 3 x 3 convolution without pooling",
        )

    config: Config

    def setup(self) -> None:
        self.changes: list[str] = []  # lines of code that change the model, for export()
        self.model: Any = self._create_model()
        self._remove_auxiliary_classifiers()
        self.feature_dim = self._remove_classifier()
        if self.config.stem == "cifar":
            self._use_cifar_stem()
        elif self.in_channels != 3:
            self._adapt_channels()

    def _create_model(self) -> Any:
        """Return the torchvision model that the settings name.

        Raises:
            UserError: if there is no such model, or the weights cannot be loaded.
        """
        name = self.config.model
        known = torchvision.models.list_models(module=torchvision.models)
        if name not in known:
            raise UserError(
                f"[backbone] model = {name}: torchvision has no such classification model; "
                f"use {', '.join(known[:5])} or one of {len(known) - 5} others"
            )
        try:
            return torchvision.models.get_model(
                name, weights=self.config.weights, **self._size_arguments()
            )
        except OSError as error:
            raise DownloadError(
                f"[backbone] cannot download torchvision's weights {self.config.weights} of "
                f"{name} ({error}); check the connection, or remove weights"
            ) from None
        except (ValueError, KeyError) as error:
            raise UserError(
                f"[backbone] torchvision cannot create {name} with weights = "
                f"{self.config.weights} ({error}); check the name of the weights"
            ) from None

    def _size_arguments(self) -> dict[str, int]:
        """Return the image-size argument of a vision transformer; empty for other models."""
        return {"image_size": self.image_size} if self.config.model.startswith("vit_") else {}

    def _remove_auxiliary_classifiers(self) -> None:
        """Remove the classifiers that GoogLeNet and Inception v3 use only while they train."""
        if getattr(self.model, "aux_logits", False):
            self.model.aux_logits = False
            for name in _AUXILIARY_CLASSIFIERS:
                if hasattr(self.model, name):
                    setattr(self.model, name, None)

    def _remove_classifier(self) -> int:
        """Replace the classifier with an identity and return the width of its input.

        Raises:
            UserError: if the model has no linear classifier.
        """
        owner = next(name for name in _CLASSIFIERS if hasattr(self.model, name))
        layer = getattr(self.model, owner)
        if isinstance(layer, nn.Linear):
            self._replace(owner, nn.Identity(), "nn.Identity()")
            return layer.in_features
        linear_names = [n for n, child in layer.named_children() if isinstance(child, nn.Linear)]
        if not linear_names:
            raise UserError(
                f"[backbone] torchvision's {self.config.model} has no linear classifier; "
                "use a different model, or this model from timm"
            )
        linear = layer.get_submodule(linear_names[-1])
        self._replace(f"{owner}.{linear_names[-1]}", nn.Identity(), "nn.Identity()")
        return int(linear.in_features)

    def _replace(self, path: str, layer: nn.Module, code: str) -> None:
        """Replace a submodule, and record the line of Python code that does the same."""
        owner, _, attribute = path.rpartition(".")
        self.model.get_submodule(owner).register_module(attribute, layer)
        steps = [f"[{step}]" if step.isdigit() else f".{step}" for step in path.split(".")]
        self.changes.append(f"model{''.join(steps)} = {code}")

    def _use_cifar_stem(self) -> None:
        """Adapt the first layers to 32-pixel images: He et al., arXiv:1512.03385, section 4.2.

        Raises:
            UserError: if the model is not a ResNet.
        """
        if not (hasattr(self.model, "conv1") and hasattr(self.model, "maxpool")):
            raise UserError(
                f"[backbone] stem = cifar is for ResNets, but {self.config.model} is not one; "
                "set stem = default"
            )
        width = self.model.conv1.out_channels
        conv = nn.Conv2d(self.in_channels, width, 3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        code = f"nn.Conv2d({self.in_channels}, {width}, 3, padding=1, bias=False)"
        self._replace("conv1", conv, code)
        self._replace("maxpool", nn.Identity(), "nn.Identity()")

    def _adapt_channels(self) -> None:
        """Replace the first convolution with one that has as many input channels as the data.

        Raises:
            UserError: if the model starts from pretrained weights, which have 3 channels.
        """
        name, first = next(
            (n, m) for n, m in self.model.named_modules() if isinstance(m, nn.Conv2d)
        )
        if self.config.weights is not None:
            raise UserError(
                f"[backbone] weights = {self.config.weights} have 3 channels, but the data has "
                f"{self.in_channels}; remove weights, or use data with 3 channels"
            )
        shape = (self.in_channels, first.out_channels, first.kernel_size, first.stride)
        bias = first.bias is not None
        conv = nn.Conv2d(*shape, first.padding, bias=bias)  # type: ignore[arg-type]
        arguments = ", ".join(map(str, (*shape, first.padding)))
        self._replace(name, conv, f"nn.Conv2d({arguments}, bias={bias})")

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.model(images)
        return features.flatten(1)

    def tokens(self, images: Tensor, **options: Any) -> Tokens:
        """Return the positions of the last feature map, before pooling, as tokens.

        Args:
            images: normalised images (B, C, H, W).
            options: other arguments of :meth:`ssl_host.Backbone.tokens`; only their defaults are
                supported.

        Raises:
            UserError: if the model has no layer ``avgpool``, or an option is not the default.
        """
        if any(value is not None and value != 0 for value in options.values()):
            return super().tokens(images, **options)  # explains what is not possible
        if not isinstance(getattr(self.model, "avgpool", None), nn.Module):
            raise UserError(
                f"torchvision's {self.config.model} has no layer avgpool whose input could be used "
                "as tokens; use this model from timm"
            )
        maps: list[Tensor] = []
        hook = self.model.avgpool.register_forward_pre_hook(lambda _, args: maps.append(args[0]))
        try:
            pooled = self(images)
        finally:
            hook.remove()
        patches = maps[0].flatten(2).transpose(1, 2)
        return Tokens(patches[:, :0], patches, pooled)

    def adapt_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return weights whose position embeddings torchvision has resampled."""
        if not self.config.model.startswith("vit_"):
            return tensors
        try:
            resampled: Mapping[str, Tensor] = interpolate_embeddings(
                self.image_size, self.model.patch_size, OrderedDict(tensors)
            )
        except ValueError:
            return tensors  # the host reports the shapes
        return resampled

    def export(self) -> tuple[nn.Module, dict[str, Any]]:
        """Return the model without its classifier, and a description with code to create it."""
        return self.model, {
            "library": "torchvision",
            "model": self.config.model,
            "stem": self.config.stem,
            "code": self._creation_code(),
        }

    def _creation_code(self) -> list[str]:
        """Return the lines of Python code that create the model."""
        # These arguments have different values in models created with weights.
        options = {k: getattr(self.model, k, None) for k in ("aux_logits", "transform_input")}
        options = {k: v for k, v in options.items() if v is not None}
        pairs = (self._size_arguments() | options).items()
        arguments = "".join(f", {key}={value!r}" for key, value in pairs)
        create = f'model = torchvision.models.get_model("{self.config.model}"{arguments})'
        return ["import torchvision", "from torch import nn", "", create, *self.changes]
