"""The three kinds of networks that a method is made of: backbone, head, loss."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from ssl_host.contracts.component import Component
from ssl_host.contracts.precision import full_precision
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ContractError


class Backbone(Component, nn.Module):
    """Turns images into features; what pretraining is for.

    :meth:`setup` builds the layers and sets :attr:`feature_dim`.
    """

    kind: ClassVar[str] = "backbone"
    build_args: ClassVar[tuple[str, ...]] = ("in_channels", "image_size")

    feature_dim: int
    """D of the features."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    """Of each channel of the images it was trained on, on a scale from 0 to 1; filled in by
    :func:`ssl_host.load_backbone`."""

    def __init__(self, config: Settings, *, in_channels: int, image_size: int) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.in_channels = in_channels
        self.image_size = image_size
        self.setup()
        if not isinstance(getattr(self, "feature_dim", None), int):
            raise ContractError(
                f"{type(self).__qualname__}.setup() must set self.feature_dim, the D of its "
                "B D features, as an int: heads and probes are sized from it"
            )

    def forward(self, images: Tensor) -> Tensor:
        """Images B C H W, normalised, to features B D."""
        raise NotImplementedError(f"{type(self).__qualname__} has no forward")

    def export(self) -> tuple[nn.Module, dict[str, Any]]:
        """The network to save, and how another program makes it again.

        Returns:
            A module whose ``state_dict`` becomes ``backbone.safetensors``, and a JSON-able
            description of its maker, such as ``{"library": "timm", "model": "resnet18"}``. Two
            keys let ``ssl-host export`` write more than ONNX:

            * ``code``: lines of Python that make the same module, untrained, as ``model``, with
              torch and the library alone; then ``--to`` takes the library's name.
            * ``hub``: what the ``config.json`` of a Hugging Face folder for timm says of the
              architecture; the host adds sizes, mean and deviation.
        """
        return self, {"library": "ssl_host"}


class Head(Component, nn.Module):
    """A small network on top of features: a projector, a predictor.

    :meth:`setup` builds the layers from ``self.in_dim`` and sets :attr:`output_dim`.
    """

    kind: ClassVar[str] = "head"
    build_args: ClassVar[tuple[str, ...]] = ("in_dim",)

    output_dim: int

    def __init__(self, config: Settings, *, in_dim: int) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.in_dim = in_dim
        self.setup()
        if not isinstance(getattr(self, "output_dim", None), int):
            raise ContractError(
                f"{type(self).__qualname__}.setup() must set self.output_dim, an int: "
                "the head that is fed by this one is sized from it"
            )

    def forward(self, features: Tensor) -> Tensor:
        """Features B ``in_dim`` to embeddings B ``output_dim``."""
        raise NotImplementedError(f"{type(self).__qualname__} has no forward")


class Loss(Component, nn.Module):
    """A scalar from embeddings B D: the mean over this process's images.

    A subclass defines ``forward(self, z1, z2)``, of as many embeddings as it takes; one that is
    registered should make sense of two. However it was made, and in whatever precision the run is,
    it is called with autocast off and half-precision arguments as float32. Losses that compare
    images gather over processes themselves (:func:`ssl_host.gather`); with ``[trainer] accumulate``
    they see the images of one part.
    """

    kind: ClassVar[str] = "loss"

    def __init__(self, config: Settings) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.setup()

    def __call__(self, *embeddings: Any) -> Any:
        """As :meth:`forward`, in float32 at least, whatever the precision of the network.

        Divided by a temperature of 0.1, a bfloat16 cosine is off by several hundredths.
        """
        tensors = [e for e in embeddings if isinstance(e, Tensor)]
        with full_precision(*tensors) as exact:
            given = iter(exact)
            return super().__call__(
                *(next(given) if isinstance(e, Tensor) else e for e in embeddings)
            )
