"""EMA copies and frozen networks: modes, gradients, and the state in checkpoints."""

import copy

import pytest
import timm
import torch
from torch import nn

from ssl_host.contracts.teachers import FINGERPRINT, freeze, make_ema_copy


def network():
    layers = [nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("train", ["parent", "itself", "never"])
def test_ema_copy_has_no_dropout_but_trains_its_batchnorm(train):
    parent = nn.Module()
    parent.ema = make_ema_copy(network())
    if train == "parent":
        parent.eval()
        parent.train()
    elif train == "itself":
        parent.ema.train()
    x = torch.randn(8, 4)
    assert torch.equal(parent.ema(x), parent.ema(x))
    assert parent.ema[1].training and int(parent.ema[1].num_batches_tracked) == 2
    parent.eval()
    assert not parent.ema[1].training


def test_ema_copy_of_timms_batchnorm_with_dropout_is_deterministic():
    """timm's BatchNormAct2d contains a dropout layer, which .train() of the norm would turn on."""
    norm = timm.layers.BatchNormAct2d(3)
    norm.drop = nn.Dropout(0.9)
    copied = make_ema_copy(nn.Sequential(norm))
    copied.train()
    x = torch.randn(2, 3, 4, 4)
    assert copied[0].training and torch.equal(copied(x), copied(x))


def test_ema_copy_can_be_copied():
    copied = copy.deepcopy(make_ema_copy(network()))
    copied.train()
    assert copied[1].training and not copied[2].training


def method_with_teacher(seed):
    torch.manual_seed(seed)
    parent = nn.Module()
    parent.head, parent.teacher = nn.Linear(2, 2), freeze(network())
    return parent


def test_frozen_network_stays_in_eval_mode_without_gradient():
    parent = method_with_teacher(0)
    parent.train()
    assert not any(module.training for module in parent.teacher.modules())
    assert not any(p.requires_grad for p in parent.teacher.parameters())


def test_state_contains_a_hash_instead_of_the_frozen_weights():
    state = method_with_teacher(0).state_dict()
    assert set(state) == {"head.weight", "head.bias", f"teacher.{FINGERPRINT}"}


def test_state_with_the_same_frozen_weights_is_restored():
    parent = method_with_teacher(0)
    state = copy.deepcopy(parent.state_dict())
    with torch.no_grad():
        parent.head.weight.zero_()
    before = parent.teacher[0].weight.clone()
    parent.double().load_state_dict(state)
    assert parent.head.weight.any() and torch.equal(parent.teacher[0].weight, before.double())


def test_state_with_other_frozen_weights_is_refused():
    with pytest.raises(RuntimeError, match="frozen network teacher has different weights"):
        method_with_teacher(1).load_state_dict(method_with_teacher(0).state_dict())
