"""Memory bank with one row for each training image, such as its last embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_host.toolkit.distributed import gather_unequal


class MemoryBank(nn.Module):
    """Memory bank with one row for each training image, saved in checkpoints.

    Create it in a method's ``setup()`` with ``MemoryBank(self.plan.num_images, dim)``. Return new
    rows as ``StepOutput(..., enqueue={"memory": (batch.index, z)})``: the host stores them
    after the optimizer step. The bank is the same in all processes.

    Args:
        num_rows: number of training images N.
        dim: width D of the rows.

    Attributes:
        rows: the rows, shape (N, D); zeros at the start.
        seen: True for the rows that have been stored, shape (N,), bool.

    Raises:
        ValueError: if ``num_rows`` or ``dim`` is less than 1.
    """

    rows: Tensor
    seen: Tensor

    def __init__(self, num_rows: int, dim: int) -> None:
        super().__init__()
        if num_rows < 1 or dim < 1:
            raise ValueError(f"num_rows = {num_rows}, dim = {dim}: both must be at least 1")
        self.register_buffer("rows", torch.zeros(num_rows, dim))
        self.register_buffer("seen", torch.zeros(num_rows, dtype=torch.bool))

    def __len__(self) -> int:
        return len(self.rows)

    @torch.no_grad()
    def put(self, index: Tensor, rows: Tensor) -> None:
        """Store the rows (B, D) of the images ``index`` (B,) of all processes.

        The processes may have different numbers of rows, or none.
        """
        index, rows = gather_unequal(index.detach()), gather_unequal(rows.detach())
        self.rows[index] = rows.to(self.rows.dtype)
        self.seen[index] = True
