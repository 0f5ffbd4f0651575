"""Backbones of other projects, by the names their checkpoints give the tensors."""

import pytest
import torch
import torchvision
from lightly.models import ResNetGenerator
from torch import nn

import ssl_host
from ssl_host.errors import CheckpointError
from ssl_host.toolkit.checkpoint_keys import CUT
from ssl_host.weights import load_initial_weights


def backbone(name="torchvision", stem="default", model="resnet18"):
    context = {"in_channels": 3, "image_size": 32}
    return ssl_host.build("backbone", name, model=model, stem=stem, **context).eval()


def settled(network):
    """With running statistics that are not those of a new network."""
    torch.manual_seed(5)
    network.train()(torch.randn(8, 3, 32, 32))
    return network.eval()


@torch.no_grad()
def features(network):
    return network(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))).flatten(1)


def checkpoint(path, state, **beside):
    """As Lightning writes one."""
    parts = {name: value for name, part in beside.items() for name, value in _named(name, part)}
    torch.save(
        {"state_dict": {**state, **parts}, "epoch": 9, "pytorch-lightning_version": "2"}, path
    )
    return path


def _named(prefix, module):
    return [(f"{prefix}.{name}", value) for name, value in module.state_dict().items()]


def plain(cifar=False):
    """torchvision's ResNet as both projects take it."""
    resnet = torchvision.models.resnet18()
    if cifar:
        resnet.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        resnet.maxpool = nn.Identity()
    resnet.fc = nn.Identity()
    return settled(resnet)


@pytest.mark.parametrize("name", ["timm", "torchvision"])
@pytest.mark.parametrize("stem", ["default", "cifar"])
def test_solo_learn(name, stem, tmp_path):
    """Its momentum copy, projector and classifier stand beside and are named."""
    resnet = plain(cifar=stem == "cifar")
    file = checkpoint(
        tmp_path / "byol.ckpt",
        dict(_named("backbone", resnet)),
        ema_backbone=plain(cifar=stem == "cifar"),
        projector=nn.Sequential(nn.Linear(512, 8)),
        classifier=nn.Linear(512, 10),
    )
    network = backbone(name, stem)
    told = load_initial_weights(network, file)
    assert (features(network.eval()) - features(resnet)).abs().max() <= 1e-6
    count = len(resnet.state_dict())
    assert told == (
        f"the backbone starts from {file}: {count} tensors under backbone; left out: "
        f"ema_backbone ({count}), projector (2), classifier (2)"
    )


@pytest.mark.parametrize("name", ["timm", "torchvision"])
@pytest.mark.parametrize("prefix", ["backbone", "student_backbone", ""])
def test_a_resnet_that_lightly_s_examples_cut_into_a_sequential(name, prefix, tmp_path):
    """Seen to fail with the numbers of the layers shifted by one: nothing fitted."""
    sequential = nn.Sequential(*list(plain().children())[:-1])
    state = dict(_named(prefix, sequential)) if prefix else sequential.state_dict()
    file = checkpoint(tmp_path / "x.ckpt", state, projection_head=nn.Linear(512, 8))
    network = backbone(name)
    told = load_initial_weights(network, file)
    assert (features(network.eval()) - features(sequential)).abs().max() <= 1e-6
    assert "numbered as the layers of a Sequential; left out: projection_head (2)" in told


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("model", ["resnet18", "resnet50"])
def test_lightly_s_own_resnet(cut, model, tmp_path):
    """A stem for small images, and shortcuts where others downsample.

    Its own forward is the reference: cut into a Sequential it loses a ReLU, and the run says so.
    """
    resnet = settled(ResNetGenerator(model.replace("resnet", "resnet-")))
    resnet.linear = nn.Identity()
    sequential = nn.Sequential(*list(resnet.children())[:-1], nn.AdaptiveAvgPool2d(1))
    state = dict(_named("backbone", sequential if cut else resnet))
    network = backbone("timm", "cifar", model)
    told = load_initial_weights(network, checkpoint(tmp_path / "x.ckpt", state))
    assert (features(network.eval()) - features(resnet)).abs().max() <= 1e-5
    assert told.endswith(f", {CUT}" if cut else ", as lightly names its ResNet")


def test_a_part_of_the_network_is_an_error_with_the_names_of_the_file(tmp_path):
    state = nn.Sequential(*list(plain().children())[:-1]).state_dict()
    lacking = {k: v for k, v in state.items() if not k.startswith("7.1.conv2")}
    with pytest.raises(CheckpointError) as caught:
        load_initial_weights(backbone(), checkpoint(tmp_path / "x.ckpt", lacking))
    assert "does not fit the backbone: 7.1.conv2.weight is missing; use the same" in str(
        caught.value
    )


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_deeper_network_of_which_this_one_would_be_a_part(prefix, tmp_path):
    """A ResNet-34 holds every tensor that a ResNet-18 wants. Seen to load without a word."""
    deeper = {prefix + k: v for k, v in torchvision.models.resnet34().state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_initial_weights(backbone(), checkpoint(tmp_path / "x.ckpt", deeper))
    assert f"{prefix}layer1.2.conv1.weight has no place in it; " in str(caught.value)


def test_a_bias_that_would_be_dropped_is_an_error(tmp_path):
    state = {**plain().state_dict(), "conv1.bias": torch.ones(64)}
    with pytest.raises(CheckpointError, match=r"conv1\.bias has no place in it"):
        load_initial_weights(backbone(), checkpoint(tmp_path / "x.ckpt", state))


@pytest.mark.parametrize("model", ["mobilenet_v3_small", "resnet18", "vit_b_32"])
def test_a_classifier_is_left_out_by_name(model, tmp_path):
    """torchvision's MobileNet keeps a part of its classifier, and the last layer alone goes."""
    size = {"image_size": 32} if model.startswith("vit") else {}
    whole = torchvision.models.get_model(model, **size)
    told = load_initial_weights(
        backbone(model=model), checkpoint(tmp_path / "x.ckpt", whole.state_dict())
    )
    left = {"mobilenet_v3_small": "classifier", "resnet18": "fc", "vit_b_32": "heads"}[model]
    assert told.endswith(f"left out: {left} (2)")
