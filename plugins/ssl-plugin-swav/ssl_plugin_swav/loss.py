"""The loss of SwAV."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ssl_host import Loss, Settings, cross_view_loss, sinkhorn


class SwAVLoss(Loss):
    """Cross entropy of each view with the assignments of other views: arXiv:2006.09882, eq. 2.

    ``loss(scores1, scores2, *smaller)`` takes the similarities (B, K) of each view with the
    prototypes, those of the two full-size views first. Their balanced assignments, which have no
    gradient, are the targets of all other views. ``queued`` contains two tensors (Q, K), the same
    in all processes: the similarities of earlier embeddings of the first and of the second view.
    They are assigned to prototypes together with the batch.
    """

    class Config(Settings):
        temperature: float = Field(0.1, gt=0, le=100, description="temperature of the softmax")
        epsilon: float = Field(
            0.05, gt=0, le=100, description="temperature of the assignments (Sinkhorn's ε)"
        )
        num_iterations: int = Field(
            3, ge=1, le=1000, description="number of Sinkhorn iterations of the assignments"
        )

    config: Config

    def forward(self, *scores: Tensor, queued: Sequence[Tensor] = ()) -> Tensor:
        targets = [
            self._assign(full, queued[i] if queued else None) for i, full in enumerate(scores[:2])
        ]
        return cross_view_loss(self._cross_entropy, scores, targets)

    def _assign(self, scores: Tensor, queued: Tensor | None) -> Tensor:
        """Return the assignments of the images to the prototypes, (B, K)."""
        config = self.config
        return sinkhorn(scores, config.epsilon, config.num_iterations, shared=queued)

    def _cross_entropy(self, scores: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(scores / self.config.temperature, targets)
