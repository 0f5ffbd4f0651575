"""Base classes of backbones and heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ssl_host.contracts.component import Component
from ssl_host.contracts.data import Fit
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ContractError, UserError


@dataclass(frozen=True)
class Tokens:
    """Tokens of a batch of images: prefix tokens, one token for each patch, pooled features.

    Attributes:
        prefix: tokens without a position, such as class token and registers, (B, P, D).
        patches: one token for each patch, in row-major order or in the order of ``keep``,
            (B, T, D).
        pooled: the features that ``forward`` returns, (B, ``feature_dim``).
        blocks: patch tokens after each of the last blocks, without the final norm, (B, T, D) each;
            empty unless ``num_blocks`` was given.
        prefix_blocks: prefix tokens after each of the same blocks, (B, P, D) each.
    """

    prefix: Tensor
    patches: Tensor
    pooled: Tensor
    blocks: tuple[Tensor, ...] = ()
    prefix_blocks: tuple[Tensor, ...] = ()


class Backbone(Component, nn.Module):
    """Base class of backbones, the networks that are pretrained to map images to features.

    A subclass's :meth:`setup` creates the layers and sets :attr:`feature_dim`. For methods that use
    parts of an image, a convolutional network overrides :meth:`feature_map`, and a transformer
    overrides :meth:`tokens`.
    """

    kind: ClassVar[str] = "backbone"
    build_args: ClassVar[tuple[str, ...]] = ("in_channels", "image_size")

    feature_dim: int
    """Width D of the features."""
    patch_size: int | None = None
    """Side of a patch in pixels; None if the network has no patches that can be left out or
    masked."""
    token_dim: int
    """Width of the tokens."""
    embed_dim: int
    """Width of the patch embeddings, and of a mask token."""
    mean: tuple[float, ...] = ()
    """Mean of each channel of the training images, for pixel values from 0 to 1; set by
    :func:`ssl_host.load_backbone`."""
    std: tuple[float, ...] = ()
    """Standard deviation of each channel, for the same pixel values; set together with the mean."""
    fit: Fit = "crop"
    """How the run made its images square; set by :func:`ssl_host.load_backbone`."""
    value_range: tuple[float, float] | None = None
    """Pixel values that were black and white in the run, set together with the mean; None for the
    range of the file's type."""
    view_mean: tuple[float, ...] = ()
    """Mean with which the views of a run are normalised; set for a frozen network."""
    view_std: tuple[float, ...] = ()
    """Standard deviation with which the views of a run are normalised; set for a frozen network."""

    def __init__(self, config: Settings, *, in_channels: int, image_size: int) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.in_channels = in_channels
        self.image_size = image_size
        self.setup()
        if not isinstance(getattr(self, "feature_dim", None), int):
            raise ContractError(
                f"{type(self).__qualname__}.setup() must set self.feature_dim, the width D of its "
                "features (B, D), as an int: heads and probes are sized from it"
            )

    def forward(self, images: Tensor) -> Tensor:
        """Return the features, shape (B, D), of normalised images, shape (B, C, H, W)."""
        raise NotImplementedError(f"{type(self).__qualname__} does not implement forward()")

    @classmethod
    def tiny(cls, settings: Mapping[str, Any], image_size: int) -> Mapping[str, Any]:
        """Return settings of a small, deterministic network of the same family, for checks.

        The conformance kit uses it in place of a recipe's backbone, without downloading weights.

        Args:
            settings: the settings in the recipe.
            image_size: side of the images in the checks, in pixels.
        """
        return settings

    def feature_map(self, images: Tensor) -> Tensor:
        """Return a convolutional network's last feature map, (B, ``token_dim``, H', W').

        A subclass that overrides this also sets :attr:`token_dim`, and overrides :meth:`pool_map`
        if its features are not the mean over all positions.

        Raises:
            UserError: if the backbone has no feature map.
        """
        raise UserError(
            f"{type(self).__qualname__} has no tokens: it does not implement tokens() or "
            "feature_map(); use another [backbone]"
        )

    def pool_map(self, feature_map: Tensor) -> Tensor:
        """Return the features (B, D) of a feature map: its mean over all positions."""
        return feature_map.mean(dim=(2, 3))

    def tokens(
        self,
        images: Tensor,
        *,
        keep: Tensor | None = None,
        mask: Tensor | None = None,
        mask_token: Tensor | None = None,
        num_blocks: int = 0,
    ) -> Tokens:
        """Encode images and return prefix tokens, patch tokens and pooled features.

        A convolutional network returns the positions of its last feature map as patches.

        Args:
            images: normalised images (B, C, H, W); H and W are multiples of :attr:`patch_size`.
            keep: (B, K), int64: encode only these patches, in this order, with their own positions
                (MAE, I-JEPA's context).
            mask: (B, T), bool: replace the embeddings of these patches with ``mask_token`` before
                positions are added (SimMIM, iBOT, data2vec).
            mask_token: (``embed_dim``,), a parameter of the method.
            num_blocks: number of final blocks from which to return the prefix and patch tokens.

        Raises:
            UserError: if the network has no tokens, or no patches to keep or mask.
        """
        if keep is not None or mask is not None:
            raise UserError(
                f"{type(self).__qualname__} has no patches that can be left out or masked; use a "
                "vision transformer, such as [backbone] name = timm, model = vit_tiny_patch16_224"
            )
        if num_blocks:
            raise UserError(
                f"{type(self).__qualname__} has no transformer blocks; use a vision transformer"
            )
        feature_map = self.feature_map(images)
        patches = feature_map.flatten(2).transpose(1, 2)
        return Tokens(patches[:, :0], patches, self.pool_map(feature_map))

    def class_attention(self, images: Tensor) -> Tensor:
        """Return the attention of the class token to each patch in the last block.

        The report draws it. A transformer with a class token may override this.

        Args:
            images: normalised images (B, C, H, W); H and W are multiples of :attr:`patch_size`.

        Returns:
            The weights of each head, (B, heads, T): softmax(q k^T / √d) of the class token's query
            with the keys of all tokens, without the columns of the prefix tokens.

        Raises:
            UserError: if the network has no class token, or does not offer its attention.
        """
        raise UserError(f"{type(self).__qualname__} does not offer the attention of a class token")

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the patch grid (rows, columns) of an image with a height and width in pixels.

        Raises:
            UserError: if the backbone has no fixed :attr:`patch_size`.
        """
        if self.patch_size is None:
            raise UserError(
                f"{type(self).__qualname__} has no fixed patch size; use the shape of its tokens"
            )
        return height // self.patch_size, width // self.patch_size

    def patch_embedding(self) -> nn.Module:
        """Return the layer that embeds patches, for methods that freeze it.

        Raises:
            UserError: if the backbone has no such layer.
        """
        raise UserError(
            f"{type(self).__qualname__} has no patch embedding; use a vision transformer"
        )

    def layer_groups(self) -> list[list[str]]:
        """Return the names of the parameters of each layer, from the input to the output.

        ``[optimizer] layer_decay`` scales the learning rate of each group. By default every child
        module is a layer.
        """
        groups: dict[str, list[str]] = {}
        for name, _ in self.named_parameters():
            groups.setdefault(name.split(".", 1)[0], []).append(name)
        return list(groups.values())

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters without weight decay, such as position embeddings."""
        return set()

    def normalised_for(self, views: Tensor) -> Tensor:
        """Return a run's views (B, C, H, W), normalised with the mean and std of this network.

        If the weights came without a mean and std, the views are returned unchanged.
        """
        if not self.mean or (self.mean, self.std) == (self.view_mean, self.view_std):
            return views

        def per_channel(values: tuple[float, ...]) -> Tensor:
            return torch.tensor(values, dtype=views.dtype, device=views.device).view(1, -1, 1, 1)

        pixels = views * per_channel(self.view_std) + per_channel(self.view_mean)
        return (pixels - per_channel(self.mean)) / per_channel(self.std)

    def adapt_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Convert weights of the same model trained at another image size.

        The host calls this when it loads weights of another shape, and it reports every tensor that
        changed. The host itself converts the input channels of the first convolution.

        Args:
            tensors: all tensors, with the names of the ``state_dict`` of the exported network.

        Returns:
            The tensors, with those converted that depend on the image size, such as position
            embeddings.
        """
        return tensors

    def export(self) -> tuple[nn.Module, dict[str, Any]]:
        """Return the network to save and a description of how to build it without ssl-host.

        Returns:
            A pair: the module whose ``state_dict`` becomes ``backbone.safetensors``, and a
            JSON-compatible description of the library that builds it, such as
            ``{"library": "timm", "model": "resnet18"}``. Two optional keys let ``ssl-host export``
            write formats other than ONNX:

            * ``code``: lines of Python that create the same module, untrained, as ``model``, using
              only torch and the library; ``--to`` then accepts the name of the library.
            * ``hub``: the entries of ``config.json`` that describe the architecture to timm, for a
              folder on the Hugging Face Hub; the host adds sizes, mean and standard deviation.
        """
        return self, {"library": "ssl_host"}


class Head(Component, nn.Module):
    """Base class of heads: small networks on top of features, such as projectors.

    A subclass's :meth:`setup` creates layers for inputs of width ``self.in_dim`` and sets
    :attr:`output_dim`.
    """

    kind: ClassVar[str] = "head"
    build_args: ClassVar[tuple[str, ...]] = ("in_dim",)

    output_dim: int
    """Width of the embeddings that the head returns."""

    def __init__(self, config: Settings, *, in_dim: int) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.in_dim = in_dim
        self.setup()
        if not isinstance(getattr(self, "output_dim", None), int):
            raise ContractError(
                f"{type(self).__qualname__}.setup() must set self.output_dim, the width of its "
                "output, as an int: the head that takes this output is sized from it"
            )

    def forward(self, features: Tensor) -> Tensor:
        """Return embeddings, shape (B, ``output_dim``), of features, shape (B, ``in_dim``)."""
        raise NotImplementedError(f"{type(self).__qualname__} does not implement forward()")
