"""Memory with one row for each image, equal in all processes."""

import torch

from ssl_host import MemoryBank, StepOutput
from ssl_host.contracts.batch import merge_outputs
from ssl_host.testing import run_distributed
from ssl_host.toolkit.distributed import rank


def fill():
    bank = MemoryBank(6, 2)
    index = torch.tensor([[4, 1, 5], [2]][rank()] if rank() < 2 else [])
    bank.put(index, index[:, None].expand(-1, 2).float())
    bank.put(torch.arange(0), torch.zeros(0, 2)) if rank() else bank.put(
        torch.tensor([0]), torch.full((1, 2), 9.0)
    )
    return bank.rows, bank.seen


def test_rows_of_all_processes_are_stored_also_if_their_numbers_differ():
    for rows, seen in run_distributed(fill):
        assert rows[:, 0].tolist() == [9, 1, 2, 0, 4, 5]
        assert seen.tolist() == [True, True, True, False, True, True]


def test_pairs_of_micro_batches_are_joined():
    outs = [
        StepOutput(torch.zeros(()), enqueue={"memory": (torch.tensor([i]), torch.ones(1, 2) * i)})
        for i in (3, 1)
    ]
    index, rows = merge_outputs(outs).enqueue["memory"]
    assert index.tolist() == [3, 1] and rows[:, 0].tolist() == [3, 1]
