"""What all six methods keep: learning signals, momentum, queues, state, views."""

import pytest
import torch

import ssl_host
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.resolve import resolve_sections
from ssl_host.errors import ConfigError
from tests.methods.cases import METHODS, batch, small

EVERY = pytest.mark.parametrize("name", METHODS)


def train(method, steps, start=0, total=10):
    optimizer = torch.optim.SGD([p for _, p in method.trainable_parameters()], lr=0.1)
    losses = []
    for step in range(start, start + steps):
        out = method.step(batch(7, seed=step))
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        method.finish_step(out, step, total)
        losses.append(float(out.loss.detach()))
    return losses


@EVERY
def test_every_trainable_parameter_learns_and_no_momentum_copy_does(name):
    """Seen to fail with a momentum copy whose requires_grad was left on, run without no_grad."""
    method = small(name)
    method.step(batch(6)).loss.backward()
    for key, parameter in method.named_parameters():
        if key.startswith("ema_"):
            assert parameter.grad is None, key
        else:
            assert parameter.grad is not None, key
            assert parameter.grad.abs().sum() > 0 or key.endswith("bias"), key


@EVERY
@pytest.mark.parametrize("count", [2, 5, 33])
def test_any_batch_gives_a_finite_loss_and_detached_features(name, count):
    out = small(name).step(batch(count))
    assert torch.isfinite(out.loss)
    assert out.features.shape == (count, 8)
    assert not out.features.requires_grad


@EVERY
def test_a_copy_of_the_state_goes_on_alike(name):
    """Queues, momentum copies and τ are state."""
    method = small(name)
    train(method, 3)
    twin = small(name, seed=5)
    twin.load_state_dict(method.state_dict())
    twin.progress = method.progress
    assert train(method, 3, start=3) == train(twin, 3, start=3)


@EVERY
def test_momentum_copies_follow_after_the_step_by_tau(name):
    method = small(name)
    for part in method.ema:
        before = [p.clone() for p in getattr(method, f"ema_{part}").parameters()]
        ema_decay = float(method.ema_decay)
        train(method, 1)
        online = getattr(method, part).parameters()
        copies = getattr(method, f"ema_{part}").parameters()
        for old, new, target in zip(before, online, copies, strict=True):
            assert torch.allclose(
                target, ema_decay * old + (1 - ema_decay) * new, rtol=0, atol=1e-12
            )
        break


@pytest.mark.parametrize("name", ["byol", "mocov2"])
def test_momentum_networks_keep_statistics_of_their_own(name):
    """Buffers are not averaged: the target's batch norm sees the target's activations."""
    method = small(name)
    train(method, 2)
    online = dict(method.backbone.named_buffers())
    target = dict(method.ema_backbone.named_buffers())
    assert method.ema_backbone.training
    assert not torch.allclose(online["layers.1.running_mean"], target["layers.1.running_mean"])
    assert target["layers.1.running_mean"].abs().sum() > 0


@pytest.mark.parametrize("name", ["nnclr", "mocov2"])
def test_the_queue_is_looked_up_before_it_receives(name):
    method = small(name)
    before = method.queue.rows.clone()
    out = method.step(batch(5))
    assert torch.equal(method.queue.rows, before)
    method.finish_step(out, 0, 10)
    pushed = torch.nn.functional.normalize(out.enqueue["queue"], dim=1)
    assert torch.allclose(method.queue.rows[:5], pushed)
    assert torch.equal(method.queue.rows[5:], before[5:])


@EVERY
@pytest.mark.parametrize("model", ["vit_tiny_patch16_224"])
def test_vision_transformers_work(name, model):
    backbone = ssl_host.build(
        "backbone", "timm", model=model, patch_size=8, in_channels=1, image_size=16
    )
    settings = {"queue_size": 8} if name in ("nnclr", "mocov2") else {}
    method = ssl_host.build("method", name, backbone=backbone, **settings)
    images = [torch.randn(3, 1, 16, 16) for _ in range(2)]
    out = method.step(ssl_host.Batch(images, torch.arange(3)))
    out.loss.backward()
    assert out.features.shape == (3, 192)


@EVERY
def test_multicrop_is_refused_in_words(name, catalog):
    config = resolve_sections(
        {
            "method": {"name": name},
            "augmentation": {"name": "multicrop"},
            "data": {"name": "synthetic"},
        },
        catalog,
    )
    with pytest.raises(ConfigError) as caught:
        compose(config)
    assert f"makes 8 views, and method {name} takes 2: it has no multi-crop form" in str(
        caught.value
    )


PRESETS = [entry.name for entry in Catalog().entries("preset")]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name, catalog, tmp_path):
    data = {"root": tmp_path} if name.endswith("imagefolder") else {}
    config = resolve_sections({"run": {"extends": name}, "data": data}, catalog)
    assert config.components["method"].name == name.split("/")[0]


@EVERY
def test_each_method_has_its_five_presets(name):
    wanted = {"mnist5k", "cifar10", "cifar100", "imagenet-100ep", "imagefolder"}
    assert {p.split("/")[1] for p in PRESETS if p.startswith(f"{name}/")} == wanted


PAPERS = {
    "simclr": ("lars", 0.3, 1e-6, "weights", 10.0),
    "simsiam": ("sgd", 0.05, 1e-4, "all", 0.0),
    "barlowtwins": ("lars", 0.2, 1e-6, "weights", 10.0),
    "nnclr": ("lars", 0.3, 1e-6, "weights", 10.0),
    "byol": ("lars", 0.45, 1e-6, "weights", 10.0),
    "mocov2": ("sgd", 0.03, 1e-4, "all", 0.0),
}


@EVERY
def test_the_imagenet_presets_are_the_papers(name, catalog):
    config = resolve_sections({"run": {"extends": f"{name}/imagenet-100ep"}}, catalog)
    optimizer = config.components["optimizer"].settings
    found = (
        config.components["optimizer"].name,
        optimizer.base_lr,
        optimizer.weight_decay,
        optimizer.decay,
        config.components["scheduler"].settings.warmup_epochs,
    )
    assert found == PAPERS[name]
    assert config.run.epochs == 100
    assert config.components["backbone"].settings.model == "resnet50"
    views = {"simclr": "simclr", "nnclr": "simclr", "byol": "byol", "barlowtwins": "byol"}
    assert config.components["augmentation"].name == views.get(name, "symmetric_weak")


@EVERY
def test_small_presets_keep_their_queues_to_a_quarter_of_the_set(name, catalog):
    for preset, images in (("mnist5k", 4000), ("cifar10", 50_000)):
        config = resolve_sections({"run": {"extends": f"{name}/{preset}"}}, catalog)
        settings = config.components["method"].settings
        assert getattr(settings, "queue_size", 0) <= images / 4
        assert getattr(settings, "ema_decay", 0) <= 0.99
