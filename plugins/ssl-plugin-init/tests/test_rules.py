"""The rules: sizes, batches, rates, warm-up, moving averages, patches, and what fits in a time."""

import pytest
from ssl_plugin_init import rules
from ssl_plugin_init.candidates import Candidate, Timed, choose_candidate


def test_images_are_not_enlarged():
    assert rules.image_sizes(300)[-1] == 224
    assert rules.image_sizes(100) == [32, 48, 64, 96]
    assert rules.image_sizes(30) == [28]


@pytest.mark.parametrize(("num_images", "batch"), [(100_000, 128), (1024, 128), (500, 32), (20, 2)])
def test_few_images_get_smaller_batches(num_images, batch):
    assert rules.batch_size(128, num_images) == batch


def test_rate_follows_the_root_of_the_batch():
    assert rules.learning_rate(0.002, 128, 32) == pytest.approx(0.001)


@pytest.mark.parametrize("epochs", [1, 3, 30, 300])
def test_warmup_is_at_most_a_tenth(epochs):
    assert rules.warmup_epochs(31, epochs, 16) <= 0.1 * epochs + 0.05


def test_moving_average_covers_the_same_part_of_longer_runs():
    assert rules.ema_decay(0.5, 2500, 1000) == 0.5
    assert rules.ema_decay(0.5, 2480, 312_000) == pytest.approx(0.996, abs=1e-3)  # BYOL's
    assert rules.ema_decay(0.99, 2500, 10**9) == rules.MAX_EMA_DECAY
    assert rules.ema_decay(0.9999, 2500, 10**9) == 0.9999


def test_queue_is_at_most_a_quarter_and_holds_whole_batches():
    assert rules.queue_size(1000, 2000, 64) == 448
    assert rules.queue_size(1000, 100_000, 64) == 960
    assert rules.queue_size(1000, 50, 64) == 64


@pytest.mark.parametrize("size", rules.SIZES)
def test_patches_divide_every_size(size):
    patch = rules.patch_size(size)
    assert size % patch == 0
    assert 7 <= size // patch <= 16
    assert rules.local_size(size, patch) % patch == 0


def sizes_of_one_network(sizes):
    return [Candidate({"name": "net"}, size, None, needed_steps=100) for size in sizes]


def choose(candidates, budget_s):
    """Choose among candidates of which a step takes a second for a million pixels."""
    measured = []

    def measure(candidate):
        measured.append(candidate.image_size)
        return Timed(candidate, candidate.image_size**2 / 1e6, 0.0)

    best, _ = choose_candidate(candidates, budget_s, measure)
    return best.candidate, measured


def test_largest_size_that_makes_the_needed_steps_is_chosen():
    best, measured = choose(sizes_of_one_network((32, 64, 128)), 100 * 64**2 / 1e6 * 1.01)
    assert best.image_size == 64
    assert measured == [32, 64]  # 128 is known to be too slow


def test_smallest_size_is_chosen_if_none_fits():
    best, measured = choose(sizes_of_one_network((32, 64)), 1e-9)
    assert best.image_size == 32
    assert measured == [32]


def test_larger_network_is_tried_only_if_all_smaller_ones_fit():
    larger = Candidate({"name": "timm", "model": "large"}, 32, None, 100)
    assert choose([*sizes_of_one_network((32, 64)), larger], 1e9)[0] is larger
    best, measured = choose([*sizes_of_one_network((32, 512)), larger], 1.0)
    assert (best.image_size, measured) == (32, [32])
