"""Torch groups of a method: layer decay, exemptions, schedules of weight decay, clipping."""

import pytest
import torch
from torch import nn

import ssl_host
from ssl_host import CosineSchedule, Method, ParamGroup, StepOutput
from ssl_host.contracts.batch import Progress
from ssl_host.errors import PluginError
from ssl_host.train.param_groups import (
    make_optimizer,
    set_weight_decay,
    weight_decay_schedules,
)
from ssl_host.train.step import GradientClip, clip_gradients, prepare_gradients


class Tiny(Method):
    """A method with one layer on top of a small transformer."""

    def setup(self):
        self.head = nn.Linear(self.backbone.feature_dim, 3)

    def step(self, batch):
        return StepOutput(self.head(self.backbone(batch.views[0])).mean())


class Scheduled(Tiny):
    def param_groups(self):
        parameters = dict(self.trainable_parameters())
        yield ParamGroup("net", list(parameters.items())[:-2], weight_decay=CosineSchedule(0.1, 0))
        yield ParamGroup("last", list(parameters.items())[-2:], weight_decay=0.3)


def method(cls=Tiny):
    backbone = ssl_host.build("backbone", "timm", model="test_vit", in_channels=1, image_size=16,
                              patch_size=4)  # fmt: skip
    return cls(cls.Config(), backbone=backbone, heads={}, loss=None)


def optimizer(**settings):
    return ssl_host.build("optimizer", "adamw", **settings)


def test_layer_decay_scales_rates_from_the_output_to_the_input():
    m = method()
    torch_optimizer = make_optimizer(m, optimizer(lr=1.0, layer_decay=0.5), 1.0)
    rate = {id(p): g["peak_lr"] for g in torch_optimizer.param_groups for p in g["params"]}
    rates = {name: rate[id(p)] for name, p in m.named_parameters()}
    depth = len(m.backbone.model.blocks)
    assert rates["head.weight"] == 1.0
    assert rates[f"backbone.model.blocks.{depth - 1}.mlp.fc1.weight"] == 0.5
    assert rates["backbone.model.blocks.0.mlp.fc1.weight"] == 0.5**depth
    assert rates["backbone.model.patch_embed.proj.weight"] == 0.5 ** (depth + 1)


@pytest.mark.parametrize(
    ("decay_params", "positions", "bias"),
    [("all", True, True), ("weights", True, False), ("weights_except_embeddings", False, False)],
)
def test_decay_params_choose_what_decays(decay_params, positions, bias):
    m = method()
    settings = optimizer(lr=1.0, weight_decay=0.1, decay_params=decay_params)
    groups = make_optimizer(m, settings, 1.0).param_groups
    decay = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    assert (decay[id(m.backbone.model.pos_embed)] > 0) == positions
    assert (decay[id(m.head.bias)] > 0) == bias
    assert decay[id(m.head.weight)] > 0


def test_parameters_without_names_are_refused_with_what_is_expected():
    class Nameless(Tiny):
        def param_groups(self):
            yield ParamGroup("all", list(self.parameters()))

    with pytest.raises(PluginError, match=r"'all' should be pairs of name and parameter"):
        make_optimizer(method(Nameless), optimizer(lr=1.0), 1.0)


def test_weight_decay_end_follows_a_cosine_and_spares_biases():
    settings = optimizer(lr=1.0, weight_decay=0.04, weight_decay_end=0.4)
    m = method()
    torch_optimizer = make_optimizer(m, settings, 1.0)
    schedules = weight_decay_schedules(m, settings)
    for step, expected in ((0, 0.04), (50, 0.22), (100, 0.4)):
        set_weight_decay(torch_optimizer, schedules, step, 100)
        values = [group["weight_decay"] for group in torch_optimizer.param_groups]
        assert values == pytest.approx([expected, 0.0])


def test_schedule_of_a_group_is_not_in_the_optimizers_state():
    m, settings = method(Scheduled), optimizer(lr=1.0, weight_decay=0.5, weight_decay_end=0.6)
    torch_optimizer = make_optimizer(m, settings, 1.0)
    set_weight_decay(torch_optimizer, weight_decay_schedules(m, settings), 50, 100)
    decays = {(g["name"], round(g["weight_decay"], 6)) for g in torch_optimizer.param_groups}
    assert decays == {("net", 0.05), ("net", 0.0), ("last", 0.3), ("last", 0.0)}
    assert not any(
        isinstance(v, nn.Module)
        for group in torch_optimizer.state_dict()["param_groups"]
        for v in group.values()
    )


@pytest.mark.parametrize(
    ("rule", "at", "expected"), [("linear", 256, 0.8), ("sqrt", 1024, 0.2), ("none", 256, 0.2)]
)
def test_base_lr_is_scaled_by_the_rule(rule, at, expected):
    settings = optimizer(base_lr=0.2, scale_lr=rule, scale_lr_at=at)
    assert settings.learning_rate(1024) == pytest.approx(expected)


def gradients(by, limit=0.5):
    m = method()
    for p in m.parameters():
        p.grad = torch.ones_like(p)
    torch_optimizer = torch.optim.SGD(m.parameters(), lr=1.0)
    clip_gradients(m, torch_optimizer, GradientClip(limit, by))
    return m


def norm(parameters):
    return float(torch.stack([p.grad.norm() for p in parameters]).norm())


def test_clipping_limits_what_it_names():
    assert norm(gradients("norm").parameters()) == pytest.approx(0.5, rel=1e-4)
    assert all(p.grad.max() == 0.5 for p in gradients("value").parameters())
    for p in gradients("parameter").parameters():
        assert p.grad.norm() == pytest.approx(0.5, rel=1e-4)
    m = gradients("module")
    assert norm(m.head.parameters()) == pytest.approx(0.5, rel=1e-4)
    assert norm(m.backbone.parameters()) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.filterwarnings("error")
def test_clipping_by_module_includes_parameters_of_the_method_itself():
    """A mask token belongs to no network, and a loss has no parameters."""

    class Masked(Tiny):
        def setup(self):
            super().setup()
            self.mask_token = nn.Parameter(torch.zeros(8))
            self.loss = nn.MSELoss()

    m = method(Masked)
    for p in m.parameters():
        p.grad = torch.ones_like(p)
    clip_gradients(m, torch.optim.SGD(m.parameters(), lr=1.0), GradientClip(0.5, "module"))
    assert m.mask_token.grad.norm() == pytest.approx(0.5, rel=1e-4)
    assert norm(m.head.parameters()) == pytest.approx(0.5, rel=1e-4)


def test_hook_sees_gradients_before_clipping():
    seen = []

    class Seeing(Tiny):
        def before_optimizer_step(self):
            seen.append(float(self.head.weight.grad.max()))

    m = method(Seeing)
    for p in m.parameters():
        p.grad = torch.ones_like(p)
    sgd = torch.optim.SGD(m.parameters(), lr=1.0)
    prepare_gradients(m, sgd, Progress(), GradientClip(0.1, "norm"))
    assert seen == [1.0] and m.head.weight.grad.max() < 0.1
