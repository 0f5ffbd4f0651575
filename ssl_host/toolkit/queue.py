"""First-in-first-out queue of embeddings from earlier steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_host.toolkit.distributed import gather


class FeatureQueue(nn.Module):
    """Queue of the last ``size`` embeddings of all processes, saved in checkpoints.

    ``size`` does not have to be a multiple of the batch size: rows wrap around at the end of the
    ring buffer, and only the last rows of a batch larger than ``size`` are kept. The queue starts
    with random unit vectors (He et al., arXiv:1911.05722, and their code).

    Args:
        size: number of embeddings K in the queue.
        dim: width D of the embeddings.
        seed: seed of the initial random vectors.

    Attributes:
        rows: the embeddings, shape (K, D): unit vectors, in no particular order.
        cursor: index of the next row to replace.
        pushed: number of rows pushed so far.

    Raises:
        ValueError: if ``size`` is less than 1.
    """

    rows: Tensor
    cursor: Tensor
    pushed: Tensor

    def __init__(self, size: int, dim: int, seed: int = 0) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size = {size}: must be at least 1")
        generator = torch.Generator().manual_seed(seed)
        start = functional.normalize(torch.randn(size, dim, generator=generator), dim=1)
        self.register_buffer("rows", start)
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.rows)

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Replace the oldest rows with the rows (B, D) from all processes, normalised."""
        rows = functional.normalize(gather(rows.detach()), dim=1)
        size = len(self)
        skipped = max(0, len(rows) - size)
        positions = torch.arange(skipped, len(rows), device=rows.device)
        positions = (positions + self.cursor) % size
        self.rows[positions] = rows[skipped:].to(self.rows.dtype)
        self.cursor.copy_((self.cursor + len(rows)) % size)
        self.pushed.add_(len(rows))

    @torch.no_grad()
    def nearest(self, rows: Tensor, count: int | None = None) -> Tensor:
        """Return, for each given row, the queue row with the highest cosine similarity: (B, D).

        With ``count``, return that many queue rows, in order of similarity: (B, ``count``, D).
        """
        with torch.autocast(rows.device.type, enabled=False):  # in bfloat16 many rows would tie
            similarity = functional.normalize(rows.to(self.rows.dtype), dim=1) @ self.rows.T
            if count is None:
                return self.rows[similarity.argmax(dim=1)]
            return self.rows[similarity.topk(count, dim=1).indices]
