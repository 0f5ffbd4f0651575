"""Runs lightly's own tests of its losses and memory bank against those of ssl-host.

    python benchmarks/lightly_tests.py CHECKOUT_OF_LIGHTLY

Adapters with lightly's names and arguments replace its classes; the tests themselves are not
changed. Needs ``pip install lightly pytest-mock``. Prints one line per file, and the failures.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import lightly.loss
import lightly.models.modules.memory_bank
import pytest
import torch
from torch import Tensor, nn

import ssl_host
from ssl_host import FeatureQueue

FILES = (
    "tests/loss/test_ntx_ent_loss.py",
    "tests/loss/test_negative_cosine_similarity.py",
    "tests/loss/test_sym_neg_cos_sim_loss.py",
    "tests/loss/test_barlow_twins_loss.py",
    "tests/models/modules/test_memory_bank.py",
)


class NTXentLoss(nn.Module):
    """nt_xent, or info_nce with a queue if there is a memory bank."""

    def __init__(
        self, temperature: float = 0.5, memory_bank_size: Any = 0, gather_distributed: bool = False
    ) -> None:
        super().__init__()
        if gather_distributed and not torch.distributed.is_available():
            raise ValueError("torch.distributed is not available")
        size = memory_bank_size if isinstance(memory_bank_size, int) else memory_bank_size[0]
        self.queue: FeatureQueue | None = None
        self.size = size
        self.loss = ssl_host.build(
            "loss", "info_nce" if size else "nt_xent", temperature=temperature
        )

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        if not self.size:
            loss: Tensor = self.loss(z1, z2)
            return loss
        if self.queue is None:
            self.queue = FeatureQueue(self.size, z1.shape[1])
        loss = self.loss(z1, z2, self.queue.rows)
        self.queue.push(z2)
        return loss


class NegativeCosineSimilarity(nn.Module):
    """negative_cosine."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.loss = ssl_host.build("loss", "negative_cosine")

    def forward(self, p: Tensor, z: Tensor) -> Tensor:
        loss: Tensor = self.loss(p, z)
        return loss


class SymNegCosineSimilarityLoss(NegativeCosineSimilarity):
    """SimSiam's sum of both directions."""

    def forward(self, first: Any, second: Any) -> Tensor:  # type: ignore[override]
        (z1, p1), (z2, p2) = first, second
        return (super().forward(p1, z2.detach()) + super().forward(p2, z1.detach())) / 2

    def _neg_cosine_simililarity(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x, y)


class BarlowTwinsLoss(nn.Module):
    """barlow_twins."""

    def __init__(self, lambda_param: float = 5e-3, gather_distributed: bool = False) -> None:
        super().__init__()
        if gather_distributed and not torch.distributed.is_available():
            raise ValueError("torch.distributed is not available")
        self.loss = ssl_host.build("loss", "barlow_twins", lambda_=lambda_param)

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        loss: Tensor = self.loss(z1, z2)
        return loss


class MemoryBankModule(nn.Module):
    """FeatureQueue, which stores unit rows."""

    def __init__(
        self, size: Any = 65536, gather_distributed: bool = False, feature_dim_first: bool = True
    ) -> None:
        super().__init__()
        sizes = (size,) if isinstance(size, int) else tuple(size)
        if any(number < 0 for number in sizes):
            raise ValueError(f"Illegal memory bank size {size}, all entries must be non-negative.")
        self.size, self.feature_dim_first = sizes[0], feature_dim_first
        self.queue = FeatureQueue(*sizes) if len(sizes) == 2 and sizes[0] else None

    @property
    def bank(self) -> Tensor:
        """The rows, in lightly's layout."""
        assert self.queue is not None
        return self.queue.rows.T if self.feature_dim_first else self.queue.rows

    def forward(self, output: Tensor, labels: Any = None, update: bool = False) -> Any:
        if not self.size:
            return output, None
        if self.queue is None:
            self.queue = FeatureQueue(self.size, output.shape[1])
        before = self.bank.clone()
        if update:
            self.queue.push(output)
        return output, before


def replace_classes() -> None:
    """Put the adapters in the place of lightly's classes."""
    for adapter in (
        NTXentLoss,
        NegativeCosineSimilarity,
        SymNegCosineSimilarityLoss,
        BarlowTwinsLoss,
    ):
        setattr(lightly.loss, adapter.__name__, adapter)
    sys.modules["lightly.loss.barlow_twins_loss"].BarlowTwinsLoss = BarlowTwinsLoss
    lightly.models.modules.memory_bank.MemoryBankModule = MemoryBankModule


class Tally:
    """Counts the outcomes of the tests, by file."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Counter[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the outcome of a test; a skipped one has no call phase."""
        if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
            file = report.nodeid.partition("::")[0]
            self.outcomes.setdefault(file, Counter())[report.outcome] += 1


def main() -> int:
    """Run the tests of the checkout that the command line names."""
    checkout = Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(checkout))
    replace_classes()
    tally = Tally()
    files = [str(checkout / file) for file in FILES]
    pytest.main(
        ["-q", "--tb=line", "-p", "no:cacheprovider", f"--rootdir={checkout}", *files],
        plugins=[tally],
    )
    for file, outcomes in tally.outcomes.items():
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        print(f"{file}: {counts}")
    totals: Counter[str] = sum(tally.outcomes.values(), Counter())
    print(f"{totals['passed']} of {totals['passed'] + totals['failed']} tests pass")
    return 0


if __name__ == "__main__":
    sys.exit(main())
