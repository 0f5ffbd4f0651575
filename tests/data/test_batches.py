"""Order of images in an epoch, and batches from a store."""

import pytest
import torch

from ssl_host import ArrayImages
from ssl_host.data.batches import EpochPlan, StoreLoader
from ssl_host.data.store import ImageStore
from ssl_host.errors import DataError


def test_epoch_takes_each_image_at_most_once_and_has_its_own_order():
    plan = EpochPlan(50, 8, seed=3)
    assert plan.steps == 6
    epochs = [torch.cat(list(plan.indices(epoch))) for epoch in range(2)]
    for order in epochs:
        assert len(order) == 48
        assert len(order.unique()) == 48
    assert not torch.equal(*epochs)
    assert torch.equal(epochs[0], torch.cat(list(EpochPlan(50, 8, seed=3).indices(0))))
    assert not torch.equal(epochs[0], torch.cat(list(EpochPlan(50, 8, seed=4).indices(0))))


@pytest.mark.parametrize(("world_size", "micro_batches"), [(2, 1), (1, 4), (2, 2), (4, 2)])
def test_steps_do_not_depend_on_number_of_processes_and_micro_batches(world_size, micro_batches):
    whole = list(EpochPlan(50, 16, seed=1).indices(2))
    shares = [
        list(EpochPlan(50, 16, 1, micro_batches, rank, world_size).indices(2))
        for rank in range(world_size)
    ]
    for step, batch in enumerate(whole):
        own = [s[step * micro_batches + i] for s in shares for i in range(micro_batches)]
        assert sorted(torch.cat(own).tolist()) == sorted(batch.tolist())
        assert all(len(share) == 16 // (world_size * micro_batches) for share in own)


def test_indices_from_a_step_are_the_rest_of_the_epoch():
    plan = EpochPlan(50, 8, seed=3, micro_batches=2)
    whole = list(plan.indices(1))
    assert all(torch.equal(a, b) for a, b in zip(whole[8:], plan.indices(1, 4), strict=True))


def test_batch_larger_than_the_data_set_raises_data_error():
    with pytest.raises(DataError, match=r"batch_size = 8 .* 7 training images"):
        EpochPlan(7, 8, seed=0)


def test_batch_not_divisible_by_processes_and_micro_batches_raises_data_error():
    with pytest.raises(DataError, match=r"batch_size = 16 .* multiple of 6"):
        EpochPlan(100, 16, seed=0, micro_batches=3, world_size=2)


def test_batch_has_images_labels_index_and_epoch():
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 1, 2, 2)
    labels = torch.arange(10) * 2
    dataset = ArrayImages(images.contiguous())
    store = ImageStore(dataset.images, labels, torch.arange(10), dataset)
    loader = StoreLoader(store, EpochPlan(10, 4, seed=0))
    loader.epoch, loader.start = 5, 1
    (batch,) = list(loader)
    assert batch.epoch == 5
    assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.index)
    assert torch.equal(batch.labels, batch.index * 2)
