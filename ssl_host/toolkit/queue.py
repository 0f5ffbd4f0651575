"""A first-in-first-out store of past embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_host.toolkit.distributed import gather


class FeatureQueue(nn.Module):
    """The last ``size`` embeddings of all processes; state that the checkpoint keeps.

    Any size goes with any batch: a batch that reaches the end goes on at the beginning, and of
    a batch larger than the queue the last ``size`` rows stay. Until it is filled, random unit
    vectors stand in (He et al., arXiv:1911.05722, and their code).

    Args:
        size: K, the number of rows.
        dim: D of an embedding.
        seed: of the random start.
    """

    rows: Tensor
    cursor: Tensor
    pushed: Tensor

    def __init__(self, size: int, dim: int, seed: int = 0) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"a queue of {size} rows holds nothing; size must be at least 1")
        generator = torch.Generator().manual_seed(seed)
        start = functional.normalize(torch.randn(size, dim, generator=generator), dim=1)
        self.register_buffer("rows", start)
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.rows)

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Add the rows B D of every process, normalised, oldest out first."""
        rows = functional.normalize(gather(rows.detach()), dim=1)
        size = len(self)
        skipped = max(0, len(rows) - size)
        places = torch.arange(skipped, len(rows), device=rows.device)
        places = (places + self.cursor) % size
        self.rows[places] = rows[skipped:].to(self.rows.dtype)
        self.cursor.copy_((self.cursor + len(rows)) % size)
        self.pushed.add_(len(rows))

    @torch.no_grad()
    def nearest(self, rows: Tensor) -> Tensor:
        """Of each row B D, the most similar one of the queue by cosine: B D, unit vectors."""
        with torch.autocast(rows.device.type, enabled=False):  # bfloat16 has many ties
            similarity = functional.normalize(rows.to(self.rows.dtype), dim=1) @ self.rows.T
            return self.rows[similarity.argmax(dim=1)]
