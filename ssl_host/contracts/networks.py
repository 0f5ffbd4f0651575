"""Base classes of backbones, heads and losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from ssl_host.contracts.component import Component
from ssl_host.contracts.precision import full_precision
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ContractError


class Backbone(Component, nn.Module):
    """Base class of backbones, the networks that are pretrained to map images to features.

    A subclass's :meth:`setup` creates the layers and sets :attr:`feature_dim`.
    """

    kind: ClassVar[str] = "backbone"
    build_args: ClassVar[tuple[str, ...]] = ("in_channels", "image_size")

    feature_dim: int
    """Width D of the features."""
    mean: tuple[float, ...] = ()
    """Mean of each channel of the training images, for pixel values from 0 to 1; set by
    :func:`ssl_host.load_backbone`."""
    std: tuple[float, ...] = ()
    """Standard deviation of each channel, for the same pixel values; set together with the mean."""

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

    def adapt_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Convert weights of the same model that was trained at another image size.

        The host calls this when it loads weights of another shape, and it notes every tensor that
        changed. It converts the input channels of the first convolution itself.

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


class Loss(Component, nn.Module):
    """Base class of losses, which map embeddings (B, D) to a scalar.

    A subclass defines ``forward(self, z1, z2)``, with as many arguments as it needs; a registered
    loss should accept two embeddings. The loss is the mean over the images of this process. It is
    always called with autocast disabled and with half-precision arguments converted to float32,
    even outside of the host. A loss that compares images must gather the embeddings of all
    processes itself, with :func:`ssl_host.gather`. With ``[trainer] accumulate`` it sees only the
    images of one micro-batch.
    """

    kind: ClassVar[str] = "loss"

    def __init__(self, config: Settings) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.setup()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call :meth:`forward` in float32 or float64, whatever the precision of the run.

        A bfloat16 cosine that is divided by a temperature of 0.1 is off by several hundredths.
        """
        values = [*args, *kwargs.values()]
        with full_precision(*(v for v in values if isinstance(v, Tensor))) as tensors:
            exact = iter(tensors)
            values = [next(exact) if isinstance(v, Tensor) else v for v in values]
            keywords = dict(zip(kwargs, values[len(args) :], strict=True))
            return super().__call__(*values[: len(args)], **keywords)
