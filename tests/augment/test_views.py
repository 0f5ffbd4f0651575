"""Views depend on seed, epoch, sample and view only."""

import random

import numpy as np
import pytest
import torch

import ssl_host
from ssl_host import Augmentation, Settings, UserError, ViewSpec
from ssl_host.augment import torch_backend
from ssl_host.augment.executor import ViewMaker, evaluation_view
from ssl_host.contracts.rng import CounterRNG
from ssl_host.errors import ContractError

NAMES = ("simclr", "symmetric_weak", "byol", "digits", "multicrop", "plain")


def images(count=12, channels=3, side=32):
    generator = torch.Generator().manual_seed(7)
    shape = (count, channels, side, side)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def maker(augmentation, size=32, channels=3):
    return ViewMaker(augmentation, image_size=size, mean=(0.5,) * channels, std=(0.25,) * channels)


def maker_of_specs(*specs, size=32):
    class Own(Augmentation):
        def view_specs(self):
            return specs

    return maker(Own(Settings(), image_size=size), size)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_views_of_a_sample_do_not_depend_on_its_batch(name, channels, monkeypatch):
    """Tolerance 2e-6: a matrix product may round differently in a batch of another size."""
    make = ssl_host.build(
        "augmentation", name, image_size=32, channels=channels, mean=(0.5,) * channels,
        std=(0.25,) * channels,
    )  # fmt: skip
    batch = images(channels=channels)
    index = torch.arange(12) * 37 + 5
    whole = make(batch, index, epoch=3, seed=9)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(99)  # must not matter
    shuffled = make(batch[order], index[order], epoch=3, seed=9)
    monkeypatch.setattr(torch_backend, "CHUNK_BYTES", 1)
    alone = [make(batch[i : i + 1], index[i : i + 1], epoch=3, seed=9) for i in range(12)]
    for number, view in enumerate(whole):
        assert torch.allclose(shuffled[number], view[order], atol=2e-6)
        one_by_one = torch.cat([views[number] for views in alone])
        assert torch.allclose(one_by_one, view, atol=2e-6)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "plain"])
def test_views_change_with_seed_epoch_sample_and_view(name):
    make = ssl_host.build("augmentation", name, image_size=32)
    same = images(1).expand(4, -1, -1, -1)
    base = make(same, torch.arange(4), epoch=0, seed=0)
    assert not torch.allclose(base[0][0], base[0][1])
    assert not torch.allclose(base[0], base[1])
    assert not torch.allclose(base[0], make(same, torch.arange(4), epoch=1, seed=0)[0])
    assert not torch.allclose(base[0], make(same, torch.arange(4), epoch=0, seed=1)[0])


def test_random_numbers_of_different_coordinates_are_uncorrelated():
    """Correlations are below 4.5 standard errors for 20,000 numbers each."""
    index = torch.arange(20_000)
    base = CounterRNG(0, 0, index)
    columns = [
        base.uniform(0, "top"),
        base.uniform(1, "top"),
        base.uniform(0, "left"),
        CounterRNG(1, 0, index).uniform(0, "top"),
        CounterRNG(0, 1, index).uniform(0, "top"),
        CounterRNG(0, 0, index + 1).uniform(0, "top"),
    ]
    table = torch.stack(columns).double()
    assert table.min() >= 0
    assert table.max() < 1
    assert torch.allclose(table.mean(dim=1), torch.full((6,), 0.5, dtype=torch.float64), atol=0.01)
    correlation = torch.corrcoef(table) - torch.eye(6)
    assert correlation.abs().max() < 4.5 / 20_000**0.5


@pytest.mark.parametrize(
    ("field", "chance"),
    [("flip", 0.5), ("grayscale", 0.2), ("solarize", 0.3), ("blur", 0.7), ("jitter", 0.8)],
)
def test_operations_happen_with_their_probability(field, chance):
    """Within 4 standard errors of the probability, over 3,000 samples."""
    # The default σ may be 0.1 pixels, which changes too little to detect.
    strength = {"jitter": {"brightness": 0.4}, "blur": {"blur_sigma": (1, 2)}}.get(field, {})
    changed = maker_of_specs(ViewSpec(**{field: chance}, **strength), size=8)
    plain = maker_of_specs(ViewSpec(), size=8)
    batch = images(1, side=8).expand(3000, -1, -1, -1)
    index = torch.arange(3000)
    differs = (changed(batch, index)[0] - plain(batch, index)[0]).abs().amax(dim=(1, 2, 3)) > 1e-4
    error = (chance * (1 - chance) / 3000) ** 0.5
    assert abs(float(differs.double().mean()) - chance) < 4 * error


def test_multicrop_makes_two_full_size_and_six_small_views():
    make = ssl_host.build("augmentation", "multicrop", image_size=224, num_local=6)
    assert (make.num_views, make.num_global) == (8, 2)
    sizes = [view.shape[-1] for view in make(images(2, side=224))]
    assert sizes == [224, 224, 96, 96, 96, 96, 96, 96]
    assert ssl_host.build("augmentation", "byol", image_size=32).num_views == 2


def test_views_are_normalised_by_mean_and_std():
    make = maker_of_specs(ViewSpec(), size=32)
    batch = images(3)
    assert torch.allclose(make(batch)[0], (batch.float() / 255 - 0.5) / 0.25, atol=1e-6)


def test_byol_views_have_different_blur_and_solarize():
    specs = ssl_host.build("augmentation", "byol", image_size=224).specs
    assert [(s.blur, s.solarize, s.blur_kernel) for s in specs] == [(1.0, 0.0, 23), (0.1, 0.2, 23)]


class PerBatch(Augmentation):
    """Augmentation of batches."""

    def apply_batch(self, images, rng):
        amount = rng.uniform(0, "amount")[:, None, None, None]
        return [images * amount, images * (1 - amount), images[:, :, ::2, ::2]]


class PerImage(Augmentation):
    """Augmentation of images that uses the global generators of three libraries."""

    def apply_image(self, image, rng):
        factor = torch.rand(()) + np.random.rand() + random.random() + float(rng.uniform(0, "x"))
        return [image * float(factor), image]


@pytest.mark.parametrize("cls", [PerBatch, PerImage])
def test_callable_augmentation_is_repeatable_and_restores_global_state(cls):
    make = maker(cls(Settings(), image_size=32))
    batch, index = images(), torch.arange(12) + 3
    first = make(batch, index, epoch=1, seed=2)
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    second = make(batch[4:], index[4:], epoch=1, seed=2)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert random.getstate() == state[1]
    assert (np.random.get_state()[1] == state[2]).all()
    assert all(torch.equal(a[4:], b) for a, b in zip(first, second, strict=True))
    assert not torch.allclose(first[0], make(batch, index, epoch=2, seed=2)[0])
    assert make.num_global == 2
    assert make.num_views == (3 if cls is PerBatch else 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flip", 1.5),
        ("crop_scale", (0.5, 1.2)),
        ("crop_scale", (0.9, 0.5)),
        ("crop_ratio", (0.0, 1.0)),
        ("blur_kernel", 4),
        ("count", 0),
    ],
)
def test_spec_with_value_out_of_bounds_raises_contract_error(field, value):
    with pytest.raises(ContractError) as caught:
        maker_of_specs(ViewSpec(**{field: value}))
    assert f"Own.view_specs(): {field} = {value}" in str(caught.value)


def test_augmentation_must_override_exactly_one_method():
    class Neither(Augmentation):
        pass

    class Both(PerBatch):
        def view_specs(self):
            return [ViewSpec()]

    for cls, found in ((Neither, "none"), (Both, "view_specs and apply_batch")):
        with pytest.raises(ContractError, match=f"overrides {found}"):
            maker(cls(Settings(), image_size=32))


def test_crops_and_finish_equal_views_of_whole_images():
    """Tolerance: rounding to bytes, which saturation and hue enlarge."""
    make = ssl_host.build("augmentation", "symmetric_weak", image_size=32)
    batch, index = images(6, side=48), torch.arange(6) + 11
    whole = make(batch, index, epoch=2, seed=5)
    each = [make.crops(batch[i : i + 1], index[i : i + 1], 2, 5) for i in range(6)]
    crops = [torch.cat(views) for views in zip(*each, strict=True)]
    assert all(crop.dtype == torch.uint8 for crop in crops)
    made = make.finish(crops, index, epoch=2, seed=5)
    for a, b in zip(whole, made, strict=True):
        assert (a - b).abs().mean() < 0.02
        assert (a - b).abs().max() < 0.3


def test_evaluation_view_is_the_centred_square():
    wide = images(2, side=32)
    wide = torch.cat([wide[:, :, :, :8], wide, wide[:, :, :, :8]], dim=3)
    view = evaluation_view(wide, 32, (0.5,) * 3, (0.25,) * 3)
    assert torch.allclose(view, (wide[:, :, :, 8:40].float() / 255 - 0.5) / 0.25, atol=1e-5)


def test_grayscale_of_all_and_blur_of_some_images_combine():
    make = maker_of_specs(ViewSpec(grayscale=1.0, blur=0.5))
    assert make(images())[0].shape == (12, 3, 32, 32)


def test_multicrop_local_size_is_used_or_refused():
    made = ssl_host.build("augmentation", "multicrop", image_size=28, num_local=1, local_size=16)
    assert [spec.size for spec in made.specs] == [28, 28, 16]
    made = ssl_host.build("augmentation", "multicrop", image_size=224, num_local=1)
    assert made.specs[-1].size == 96
    with pytest.raises(UserError, match="local_size = 28 is not smaller than the full-size views"):
        ssl_host.build("augmentation", "multicrop", image_size=28, local_size=28)
