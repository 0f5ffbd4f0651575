"""Random numbers of a batch: the same in any batch, order, process and resumed run."""

import torch

from ssl_host import Batch
from ssl_host.contracts.rng import BatchRNG


def rng(index=range(50), epoch=2, seed=3, step=0):
    return BatchRNG(seed, epoch, torch.tensor(list(index)), step)


def test_numbers_of_a_sample_do_not_depend_on_its_batch():
    whole, alone = rng(), rng([17])
    assert torch.equal(whole.uniform("a")[17:18], alone.uniform("a"))
    assert torch.equal(whole.uniform("a", 5)[17:18], alone.uniform("a", 5))
    assert torch.equal(whole.integers("a", 9, 4)[17:18], alone.integers("a", 9, 4))
    assert torch.equal(whole.permutation("a", 30)[17:18], alone.permutation("a", 30))


def test_numbers_differ_by_seed_epoch_name_and_image():
    base = rng().uniform("a", 3)
    for other in (rng(seed=4), rng(epoch=3), rng(range(50, 100))):
        assert not torch.isin(other.uniform("a", 3), base).any()
    assert not torch.equal(rng().uniform("b", 3), base)
    assert len(base.unique()) == base.numel()


def test_shapes_types_and_bounds():
    numbers = rng(range(4000)).uniform("a", 3, low=2.0, high=5.0)
    assert numbers.shape == (4000, 3) and numbers.dtype == torch.float32
    assert 2 <= numbers.min() < 2.01 and 4.99 < numbers.max() < 5
    assert abs(numbers.mean() - 3.5) < 0.02
    integers = rng(range(4000)).integers("a", 7)
    assert integers.shape == (4000,) and integers.dtype == torch.int64
    assert set(integers.tolist()) == set(range(7))


def test_permutation_is_uniform():
    """Each position holds each number equally often, as with ties it would not."""
    orders = rng(range(7000)).permutation("a", 7)
    assert torch.equal(orders.sort(dim=1).values, torch.arange(7).expand(7000, -1))
    for position in range(7):
        counts = torch.bincount(orders[:, position], minlength=7)
        assert (counts - 1000).abs().max() < 150


def test_shared_number_depends_on_the_step_alone():
    assert rng([1], epoch=0).shared_uniform("a") == rng([5, 6], epoch=9).shared_uniform("a")
    numbers = {rng(step=step).shared_uniform("a", 1.0, 2.0) for step in range(100)}
    assert len(numbers) == 100 and all(1 <= number < 2 for number in numbers)


def test_batch_made_by_hand_has_numbers_of_seed_0():
    batch = Batch([torch.zeros(2, 1, 4, 4)], torch.tensor([4, 8]))
    assert torch.equal(batch.rng.uniform("a"), BatchRNG(0, 0, torch.tensor([4, 8])).uniform("a"))
