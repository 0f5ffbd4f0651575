"""Base class of losses."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from ssl_host.contracts.component import Component
from ssl_host.contracts.precision import full_precision
from ssl_host.contracts.settings import Settings


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
        """Return :meth:`forward` in float32 or float64, whatever the precision of the run.

        A bfloat16 cosine that is divided by a temperature of 0.1 is off by several hundredths.
        """
        values = [*args, *kwargs.values()]
        with full_precision(*(v for v in values if isinstance(v, Tensor))) as tensors:
            exact = iter(tensors)
            values = [next(exact) if isinstance(v, Tensor) else v for v in values]
            keywords = dict(zip(kwargs, values[len(args) :], strict=True))
            return super().__call__(*values[: len(args)], **keywords)

    def chance_level(self, num_images: int) -> float | None:
        """Return the loss of embeddings that do not tell images apart; None if not known.

        A method passes it on in :meth:`Method.chance_level`.

        Args:
            num_images: number of images that are compared with each other, over all processes.
        """
        return None
