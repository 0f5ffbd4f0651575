"""Tests of the six methods: gradients, EMA copies, queues, state, views and presets."""

import pytest
import torch

import ssl_host
from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.resolve import resolve_sections
from ssl_host.errors import ConfigError
from tests.methods.cases import METHODS, batch, small

EVERY_METHOD = pytest.mark.parametrize("name", METHODS)


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


@EVERY_METHOD
def test_step_gives_gradients_to_trainable_parameters_but_not_to_ema_copies(name):
    method = small(name)
    method.step(batch(6)).loss.backward()
    for key, parameter in method.named_parameters():
        if key.startswith("ema_"):
            assert parameter.grad is None, key
        else:
            assert parameter.grad is not None, key
            assert parameter.grad.abs().sum() > 0 or key.endswith("bias"), key


@EVERY_METHOD
@pytest.mark.parametrize("count", [2, 5, 33])
def test_step_with_any_batch_size_returns_finite_loss_and_detached_features(name, count):
    out = small(name).step(batch(count))
    assert torch.isfinite(out.loss)
    assert out.features.shape == (count, 8)
    assert not out.features.requires_grad


HAVE_CHANCE_LEVEL = (
    *("simclr", "supcon", "dcl", "dclw", "simsiam", "byol", "nnclr", "nnsiam", "nnbyol"),
    *("mocov2", "mocov3", "ressl", "swav", "dino"),
)


@pytest.mark.parametrize("name", HAVE_CHANCE_LEVEL)
def test_chance_level_is_the_loss_of_heads_without_information(name, method_case):
    case = method_case(name)
    method = case.fresh()
    for head in method.heads:
        getattr(method, head).register_forward_hook(lambda *arguments: 0 * arguments[-1])
    loss = case.step(method, case.batch(8)).loss.detach()
    assert float(loss) == pytest.approx(method.chance_level(8), rel=1e-6, abs=1e-9)


@EVERY_METHOD
def test_training_continues_equally_from_state_dict(name):
    """Queues, EMA copies and ema_decay are part of the state."""
    method = small(name)
    train(method, 3)
    restored = small(name, seed=5)
    restored.load_state_dict(method.state_dict())
    restored.progress = method.progress
    assert train(method, 3, start=3) == train(restored, 3, start=3)


@EVERY_METHOD
def test_ema_copies_are_updated_by_ema_decay(name):
    method = small(name)
    for module in method.ema:
        before = [p.clone() for p in getattr(method, f"ema_{module}").parameters()]
        ema_decay = float(method.ema_decay)
        train(method, 1)
        online = getattr(method, module).parameters()
        copies = getattr(method, f"ema_{module}").parameters()
        for old, new, target in zip(before, online, copies, strict=True):
            assert torch.allclose(
                target, ema_decay * old + (1 - ema_decay) * new, rtol=0, atol=1e-12
            )
        break


@pytest.mark.parametrize("name", ["byol", "mocov2"])
def test_ema_networks_have_separate_batchnorm_statistics(name):
    """Buffers are not averaged: the EMA network computes its own statistics."""
    method = small(name)
    train(method, 2)
    online = dict(method.backbone.named_buffers())
    target = dict(method.ema_backbone.named_buffers())
    norms = [m for m in method.ema_backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms and all(norm.training for norm in norms)
    assert not torch.allclose(online["layers.1.running_mean"], target["layers.1.running_mean"])
    assert target["layers.1.running_mean"].abs().sum() > 0


@pytest.mark.parametrize("name", ["nnclr", "mocov2"])
def test_queue_is_updated_after_the_step(name):
    method = small(name)
    before = method.queue.rows.clone()
    out = method.step(batch(5))
    assert torch.equal(method.queue.rows, before)
    method.finish_step(out, 0, 10)
    pushed = torch.nn.functional.normalize(out.enqueue["queue"], dim=1)
    assert torch.allclose(method.queue.rows[:5], pushed)
    assert torch.equal(method.queue.rows[5:], before[5:])


@EVERY_METHOD
@pytest.mark.parametrize("model", ["vit_tiny_patch16_224"])
def test_step_works_with_vision_transformer(name, model):
    backbone = ssl_host.build(
        "backbone", "timm", model=model, patch_size=8, in_channels=1, image_size=16
    )
    settings = {"queue_size": 8} if name in ("nnclr", "mocov2") else {}
    method = ssl_host.build("method", name, backbone=backbone, **settings)
    images = [torch.randn(3, 1, 16, 16) for _ in range(2)]
    out = method.step(ssl_host.Batch(images, torch.arange(3)))
    out.loss.backward()
    assert out.features.shape == (3, 192)


@EVERY_METHOD
def test_multicrop_views_are_refused_for_methods_without_support(name, catalog):
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
    assert all(text in str(caught.value) for text in ("multicrop", "8 views", name, "2"))


PRESETS = [entry.name for entry in Catalog().entries("preset")]
NEED_A_FOLDER = ("imagefolder", "continue", "imagenet100", "imagenette")


@pytest.mark.parametrize("name", PRESETS)
def test_preset_resolves(name, catalog, tmp_path):
    data = {"root": tmp_path} if name.endswith(NEED_A_FOLDER) else {}
    config = resolve_sections({"run": {"extends": name}, "data": data}, catalog)
    assert config.components["method"].name == name.split("/")[0]


@EVERY_METHOD
def test_method_has_its_presets(name):
    expected = {"mnist5k", "cifar10", "cifar100", "imagenet-100ep", "imagefolder", "continue"}
    expected |= {"imagenet100", "imagenette"}
    assert {p.split("/")[1] for p in PRESETS if p.startswith(f"{name}/")} == expected


@pytest.mark.parametrize("name", [p for p in PRESETS if not p.endswith("/mnist5k")])
def test_backbone_of_a_preset_accepts_its_settings(name, catalog, tmp_path):
    """The settings of a recipe and of a preset's own backbone can contradict each other."""
    data = {"root": tmp_path} if name.endswith(NEED_A_FOLDER) else {}
    config = resolve_sections({"run": {"extends": name}, "data": data}, catalog)
    backbone = config.components["backbone"]
    settings = backbone.settings.model_dump() | {"pretrained": False}
    size = config.components["data"].settings.image_size
    with torch.device("meta"):
        ssl_host.build("backbone", backbone.name, in_channels=3, image_size=size, **settings)


PAPERS = {
    "simclr": ("lars", 0.3, 1e-6, "weights", 10.0),
    "simsiam": ("sgd", 0.05, 1e-4, "all", 0.0),
    "barlowtwins": ("lars", 0.2, 1e-6, "weights", 10.0),
    "nnclr": ("lars", 0.3, 1e-6, "weights", 10.0),
    "byol": ("lars", 0.45, 1e-6, "weights", 10.0),
    "mocov2": ("sgd", 0.03, 1e-4, "all", 0.0),
}


@EVERY_METHOD
def test_imagenet_preset_equals_the_paper(name, catalog):
    config = resolve_sections({"run": {"extends": f"{name}/imagenet-100ep"}}, catalog)
    optimizer = config.components["optimizer"].settings
    values = (
        config.components["optimizer"].name,
        optimizer.base_lr,
        optimizer.weight_decay,
        optimizer.decay_params,
        config.components["scheduler"].settings.warmup_epochs,
    )
    assert values == PAPERS[name]
    assert config.run.epochs == 100
    assert config.components["backbone"].settings.model == "resnet50"
    views = {"simclr": "simclr", "nnclr": "simclr", "byol": "byol", "barlowtwins": "byol"}
    assert config.components["augmentation"].name == views.get(name, "symmetric_weak")


@EVERY_METHOD
def test_small_presets_have_small_queues_and_short_averages(name, catalog):
    for preset, images in (("mnist5k", 4000), ("cifar10", 50_000)):
        config = resolve_sections({"run": {"extends": f"{name}/{preset}"}}, catalog)
        settings = config.components["method"].settings
        assert getattr(settings, "queue_size", 0) <= images / 4
        assert getattr(settings, "ema_decay", 0) <= 0.99
