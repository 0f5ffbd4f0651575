"""The backbone ``timm``: any timm model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

import timm
from pydantic import Field
from torch import Tensor, nn

from ssl_host import Backbone, DownloadError, Settings, Tokens, UserError
from ssl_plugin_timm.description import creation_code, hub_config
from ssl_plugin_timm.positions import resample_positions, set_sincos_positions
from ssl_plugin_timm.stems import conv_patch_embedding, use_cifar_stem
from ssl_plugin_timm.tokens import (
    TOKEN_MODELS,
    is_token_model,
    patch_size,
    pool_arguments,
    vit_class_attention,
    vit_tokens,
)


class Timm(Backbone):
    """Any timm model (Wightman, https://github.com/huggingface/pytorch-image-models).

    The classifier is removed; the features are the pooled output (B, D). The number of input
    channels and, for vision transformers, the image size are taken from the data. Models of timm's
    classes VisionTransformer and Eva have patch tokens, and accept views of any size that is a
    multiple of the patch size.
    """

    class Config(Settings):
        model: str = Field(
            "resnet18", min_length=1, description="name of the model, from timm.list_models()"
        )
        pretrained: bool = Field(
            False, description="start from timm's pretrained weights, which are downloaded"
        )
        stem: Literal["default", "cifar", "conv"] = Field(
            "default",
            description="first layers; cifar: 3 x 3 convolution without pooling, for a ResNet; "
            "conv: strided convolutions as the patch embedding of a transformer",
        )
        img_size: int | None = Field(
            None,
            ge=4,
            le=4096,
            description="image size of a transformer in pixels; default: image size of the data",
        )
        patch_size: int | None = Field(
            None,
            ge=1,
            le=512,
            description="patch size of a transformer in pixels; default: the model's own size",
        )
        embed_dim: int | None = Field(
            None,
            ge=8,
            le=8192,
            description="width of a transformer; default: the model's own width",
        )
        depth: int | None = Field(
            None,
            ge=1,
            le=200,
            description="number of blocks of a transformer; default: the model's own number",
        )
        num_heads: int | None = Field(
            None,
            ge=1,
            le=256,
            description="number of attention heads of a transformer; default: the model's own "
            "number",
        )
        pool: Literal["default", "token", "avg"] = Field(
            "default",
            description="features of a transformer: its class token, the mean of its patches, or "
            "the model's own choice",
        )
        positions: Literal["default", "sincos"] = Field(
            "default",
            description="position embedding of a transformer: the model's own, or fixed sines and "
            "cosines",
        )
        drop_path: float | None = Field(
            None, ge=0, le=1, description="stochastic depth rate; default: the model's own rate"
        )

    config: Config

    @classmethod
    def tiny(cls, settings: Mapping[str, Any], image_size: int) -> Mapping[str, Any]:
        sizes = ("embed_dim", "depth", "num_heads")
        small = {k: v for k, v in settings.items() if k not in sizes} | {"pretrained": False}
        if not is_token_model(str(settings.get("model", ""))):
            return {**small, "model": "test_resnet"}
        # Patches of 2 pixels also divide the small views; a random depth would not be reproducible.
        # timm resizes learned positions in float32, whose rounding differs between processes.
        own = {"model": "test_vit", "patch_size": 2, "depth": 2, "drop_path": 0.0}
        return {"positions": "sincos", **small, **own}

    def setup(self) -> None:
        self.arguments = self._arguments()
        if self.config.stem == "conv":
            self._require_tokens("stem = conv")
            if self.config.pretrained:
                raise UserError(
                    f"[backbone] stem = conv: the pretrained weights of {self.config.model} have "
                    "a linear patch embedding; set stem = default"
                )
        try:
            self.model: Any = timm.create_model(
                self.config.model, pretrained=self.config.pretrained, **self.arguments
            )
        except TypeError as error:
            raise UserError(
                f"[backbone] model = {self.config.model}: this timm model does not accept "
                f"{', '.join(k for k in self.arguments if k not in ('in_chans', 'num_classes'))} "
                f"({error}); img_size and patch_size are for vision transformers"
            ) from None
        except (OSError, ArithmeticError, AssertionError, RuntimeError, ValueError) as error:
            raise self._creation_error(error) from None
        if self.config.stem == "cifar":
            use_cifar_stem(self.model, self.config.model)
        elif self.config.stem == "conv":
            self.model.patch_embed = conv_patch_embedding(self.model)
        model: Any = self.model
        self.feature_dim = int(getattr(model, "head_hidden_size", model.num_features))
        self.token_dim = int(model.num_features)
        if isinstance(model, TOKEN_MODELS):
            self.patch_size, self.embed_dim = patch_size(model), int(model.embed_dim)
        if self.config.positions == "sincos":
            self._require_tokens("positions = sincos")
            set_sincos_positions(model)
        if self.config.pretrained and self.in_channels == len(model.pretrained_cfg["mean"]):
            self.mean = tuple(map(float, model.pretrained_cfg["mean"]))
            self.std = tuple(map(float, model.pretrained_cfg["std"]))

    def _require_tokens(self, setting: str) -> None:
        """Raise UserError for a setting of vision transformers, unless the model is one."""
        if not is_token_model(self.config.model):
            raise UserError(
                f"[backbone] {setting} is for vision transformers, but {self.config.model} is not "
                "of timm's class VisionTransformer or Eva; set it to default"
            )

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments of ``timm.create_model``; raise UserError for invalid settings."""
        config = self.config
        if not timm.is_model(config.model):
            stem = config.model.split("_")[0]
            similar = timm.list_models([f"{stem}*", "resnet*"])[:5]
            raise UserError(
                f"[backbone] model = {config.model}: timm has no such model; "
                f"use {', '.join(similar)} or a different name from timm.list_models()"
            )
        arguments: dict[str, Any] = {"in_chans": self.in_channels, "num_classes": 0}
        if config.img_size not in (None, self.image_size):
            raise UserError(
                f"[backbone] img_size = {config.img_size}, but [data] image_size is "
                f"{self.image_size}, which is the size of the views; remove img_size"
            )
        pretrained_cfg = timm.get_pretrained_cfg(config.model)
        is_fixed = bool(pretrained_cfg is not None and pretrained_cfg.fixed_input_size)
        if config.img_size is not None or is_fixed:
            arguments["img_size"] = config.img_size or self.image_size
        if is_token_model(config.model):
            # Views of any size; outputs and weights are the same as those of a fixed size.
            arguments["dynamic_img_size"] = True
        if config.pool != "default":
            if config.pool == "token":
                self._require_tokens("pool = token")
            arguments |= pool_arguments(config.model, config.pool)
        for name in ("patch_size", "embed_dim", "depth", "num_heads"):
            if getattr(config, name) is not None:
                arguments[name] = getattr(config, name)
        if config.drop_path is not None:
            arguments["drop_path_rate"] = config.drop_path
        return arguments

    def _creation_error(self, error: Exception) -> UserError:
        """Return a UserError that explains why timm cannot create the model."""
        if self.config.pretrained:
            kind = DownloadError if isinstance(error, OSError) else UserError
            return kind(
                f"[backbone] cannot load timm's pretrained weights of {self.config.model}: "
                f"{error}; check the connection, or set pretrained = false"
            )
        reason = str(error) or type(error).__name__  # many assertions of timm have no message
        return UserError(
            f"[backbone] model = {self.config.model}: timm cannot create it for images of "
            f"{self.image_size} pixels ({reason}); check [data] image_size and the settings of "
            "[backbone]"
        )

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.model(images)
        return features

    def feature_map(self, images: Tensor) -> Tensor:
        features: Tensor = self.model.forward_features(images)
        if features.ndim != 4:
            raise UserError(
                f"timm's {self.config.model} has neither a feature map nor the tokens of timm's "
                "classes VisionTransformer and Eva; use a different [backbone] model"
            )
        return features.permute(0, 3, 1, 2) if self._channels_are_last else features

    def pool_map(self, feature_map: Tensor) -> Tensor:
        features = feature_map.permute(0, 2, 3, 1) if self._channels_are_last else feature_map
        pooled: Tensor = self.model.forward_head(features, pre_logits=True)
        return pooled

    @property
    def _channels_are_last(self) -> bool:
        """True if the model's feature maps are (B, H, W, D), like those of Swin."""
        return str(getattr(self.model, "output_fmt", "NCHW")).endswith("NHWC")

    def tokens(
        self,
        images: Tensor,
        *,
        keep: Tensor | None = None,
        mask: Tensor | None = None,
        mask_token: Tensor | None = None,
        num_blocks: int = 0,
    ) -> Tokens:
        if isinstance(self.model, TOKEN_MODELS):
            return vit_tokens(self.model, images, keep, mask, mask_token, num_blocks)
        return super().tokens(
            images, keep=keep, mask=mask, mask_token=mask_token, num_blocks=num_blocks
        )

    def class_attention(self, images: Tensor) -> Tensor:
        if isinstance(self.model, TOKEN_MODELS):
            return vit_class_attention(self.model, images)
        return super().class_attention(images)

    def patch_embedding(self) -> nn.Module:
        if self.patch_size is None:
            raise UserError(
                f"[backbone] model = {self.config.model}: the method needs the patch embedding of "
                "a vision transformer; choose a model of timm's class VisionTransformer or Eva"
            )
        layer: nn.Module = self.model.patch_embed
        return layer

    def layer_groups(self) -> list[list[str]]:
        matcher = self.model.group_matcher(coarse=False)
        groups = timm.models.group_parameters(self.model, matcher, reverse=False)
        return [[f"model.{name}" for name in names] for _, names in sorted(groups.items())]

    def no_weight_decay(self) -> set[str]:
        names = self.model.no_weight_decay() if hasattr(self.model, "no_weight_decay") else ()
        return {f"model.{name}" for name in names}

    def adapt_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return weights whose position embeddings and windows timm has resampled."""
        expected = self.model.state_dict()
        converted = dict(tensors)
        convert = getattr(sys.modules[type(self.model).__module__], "checkpoint_filter_fn", None)
        if convert is not None:
            # For some models the function expects other names; the host then reports the shapes.
            with suppress(AssertionError, KeyError, RuntimeError, TypeError, ValueError):
                converted |= convert(dict(tensors), self.model)
        return {
            name: resample_positions(name, converted[name], expected[name])
            if tensor.shape != expected[name].shape
            else tensor
            for name, tensor in tensors.items()
        }

    def export(self) -> tuple[nn.Module, dict[str, Any]]:
        """Return the timm model, and a description from which other programs can create it."""
        description = {"library": "timm", "model": self.config.model, "arguments": self.arguments}
        description |= {
            "stem": self.config.stem,
            "code": creation_code(self.model, self.config.model, self.config.stem, self.arguments),
        }
        if self.config.stem == "default":
            description["hub"] = hub_config(self.model, self.arguments)
        return self.model, description
