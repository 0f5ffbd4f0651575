"""Random masks over patches, and the conversion between images and patches."""

import pytest
import torch

from ssl_host import (
    MaskedDecoder,
    block_masks,
    blockwise_masks,
    indices_of,
    patchify,
    random_masks,
    unpatchify,
)
from ssl_host.contracts.rng import BatchRNG


def rng(count=40, step=0):
    return BatchRNG(0, 0, torch.arange(count), step)


def rectangle(mask):
    """Return (height, width) of a mask (rows, columns) that is one filled rectangle."""
    rows, columns = mask.any(dim=1).nonzero().flatten(), mask.any(dim=0).nonzero().flatten()
    height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    assert mask.sum() == height * width
    return height, width


@pytest.mark.parametrize(("patches", "ratio"), [(49, 0.75), (196, 0.6), (10, 0.0), (10, 1.0)])
def test_random_masks_have_exactly_the_ratio(patches, ratio):
    masks = random_masks(rng(), patches, ratio)
    assert masks.dtype == torch.bool
    assert masks.sum(dim=1).tolist() == [round(patches * ratio)] * 40


def test_random_masks_reach_every_patch_equally_often():
    share = random_masks(rng(4000), 16, 0.25).float().mean(dim=0)
    assert (share - 0.25).abs().max() < 0.03


@pytest.mark.parametrize("ragged", [False, True])
def test_block_masks_are_rectangles_in_the_ranges(ragged):
    sizes = set()
    for step in range(10):
        masks = block_masks(rng(step=step), (14, 14), (0.15, 0.2), (0.75, 1.5), 4, ragged=ragged)
        assert masks.shape == (40, 4, 196)
        for mask in masks.flatten(0, 1).view(-1, 14, 14):
            height, width = rectangle(mask)
            assert 0.15 * 196 <= height * width <= 0.2 * 196
            assert 0.75 <= height / width <= 1.5
        counts = masks.sum(dim=2).unique().tolist()
        assert ragged or len(counts) == 1
        sizes.update(counts)
    assert len(sizes) > 1


def test_block_masks_reach_the_last_row_and_column():
    """I-JEPA's code never draws them (an exclusive bound)."""
    masks = block_masks(rng(400), (6, 6), (0.2, 0.2), count=1)[:, 0].view(-1, 6, 6)
    assert masks[:, -1].any() and masks[:, :, -1].any()
    assert masks[:, 0].any() and masks[:, :, 0].any()


def test_places_differ_between_images_and_blocks():
    masks = block_masks(rng(), (14, 14), (0.1, 0.1), count=2)
    assert not torch.equal(masks[:, 0], masks[:, 1])
    assert len({tuple(mask.tolist()) for mask in masks[:, 0]}) > 20


@pytest.mark.parametrize("num_masked", [0, 1, 29, 60, 64])
def test_blockwise_masks_have_exactly_the_number(num_masked):
    masks = blockwise_masks(rng(), (8, 8), num_masked, min_block=4)
    assert masks.sum(dim=1).tolist() == [num_masked] * 40


def test_blockwise_masks_take_a_number_for_each_image():
    counts = torch.arange(40)
    assert torch.equal(blockwise_masks(rng(), (8, 8), counts).sum(dim=1), counts)


def test_blockwise_masks_are_blocks():
    """Masked patches have masked neighbours much more often than in a random mask."""

    def neighbours(masks):
        grid = masks.view(-1, 14, 14)
        return float((grid[:, 1:] & grid[:, :-1]).sum() / masks.sum())

    blocks = neighbours(blockwise_masks(rng(), (14, 14), 60, min_block=16))
    assert blocks > 0.65 > 0.5 > neighbours(random_masks(rng(), 196, 60 / 196))


@pytest.mark.parametrize("count", [-1, 65])
def test_blockwise_masks_refuse_impossible_numbers(count):
    with pytest.raises(ValueError, match="must be from 0 to 64"):
        blockwise_masks(rng(), (8, 8), count)


def test_indices_of_lists_the_true_positions():
    masks = torch.tensor([[True, False, True], [False, True, True]])
    assert indices_of(masks).tolist() == [[0, 2], [1, 2]]
    with pytest.raises(ValueError, match="same number"):
        indices_of(torch.tensor([[True, False], [True, True]]))


@pytest.mark.parametrize("channels", [1, 3])
def test_patchify_is_in_row_major_order_and_can_be_undone(channels):
    images = torch.arange(2.0 * channels * 4 * 6).view(2, channels, 4, 6)
    patches = patchify(images, 2)
    assert patches.shape == (2, 6, 4 * channels)
    expected = images[0, :, 2:4, 0:2].permute(1, 2, 0).flatten()  # second row, first column
    assert torch.equal(patches[0, 3], expected)
    assert torch.equal(unpatchify(patches, 2, (2, 3)), images)
    with pytest.raises(ValueError, match="do not fit"):
        patchify(images, 4)


@pytest.mark.parametrize(("dim", "heads"), [(10, 2), (12, 5)])
def test_decoder_of_a_width_that_does_not_fit_its_heads_is_rejected(dim, heads):
    with pytest.raises(ValueError, match=f"width {dim} with {heads} attention heads"):
        MaskedDecoder(8, dim, 1, heads, 4)
