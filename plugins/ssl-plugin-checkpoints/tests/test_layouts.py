"""Checkpoints of other projects give the features that those projects compute."""

import pytest
import torch
import torchvision
from lightly.models import ResNetGenerator
from ssl_plugin_checkpoints.layouts import (
    LIGHTLY_RESNET,
    LIGHTLY_SEQUENTIAL,
    SEQUENTIAL,
    read_checkpoint,
)
from torch import nn

import ssl_host
from ssl_host import CheckpointError, load_initial_weights


def backbone(name="torchvision", stem="default", model="resnet18"):
    sizes = {"in_channels": 3, "image_size": 32}
    return ssl_host.build("backbone", name, model=model, stem=stem, **sizes).eval()


def with_statistics(network):
    """Give a network running statistics that differ from those of a new one."""
    torch.manual_seed(5)
    network.train()(torch.randn(8, 3, 32, 32))
    return network.eval()


@torch.no_grad()
def features(network):
    return network(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))).flatten(1)


def checkpoint(path, state, **modules):
    """Write a checkpoint as Lightning does."""
    for prefix, module in modules.items():
        state = {**state, **prefixed(prefix, module)}
    torch.save({"state_dict": state, "epoch": 9, "pytorch-lightning_version": "2"}, path)
    return path


def prefixed(prefix, module):
    return {f"{prefix}.{name}": value for name, value in module.state_dict().items()}


def plain(cifar=False):
    """Return torchvision's ResNet without classifier, as both projects use it."""
    resnet = torchvision.models.resnet18()
    if cifar:
        resnet.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        resnet.maxpool = nn.Identity()
    resnet.fc = nn.Identity()
    return with_statistics(resnet)


@pytest.mark.parametrize(
    "prefix", ["encoder", "online_network", "model", "module", "feature_extractor"]
)
def test_weights_under_a_foreign_prefix_are_loaded(prefix, tmp_path):
    resnet = plain()
    file = checkpoint(tmp_path / "x.ckpt", prefixed(prefix, resnet), projector=nn.Linear(512, 8))
    network = backbone("timm")
    note = load_initial_weights(network, file)
    assert (features(network.eval()) - features(resnet)).abs().max() <= 1e-6
    assert "not used: projector (2)" in note


@pytest.mark.parametrize("name", ["timm", "torchvision"])
@pytest.mark.parametrize("stem", ["default", "cifar"])
def test_solo_learn_checkpoint_is_loaded_and_other_modules_are_listed(name, stem, tmp_path):
    resnet = plain(cifar=stem == "cifar")
    file = checkpoint(
        tmp_path / "byol.ckpt",
        prefixed("backbone", resnet),
        momentum_backbone=plain(cifar=stem == "cifar"),
        projector=nn.Sequential(nn.Linear(512, 8)),
        classifier=nn.Linear(512, 10),
    )
    network = backbone(name, stem)
    note = load_initial_weights(network, file)
    assert (features(network.eval()) - features(resnet)).abs().max() <= 1e-6
    count = len(resnet.state_dict())
    assert f"{file}: {count} tensors under backbone; not used: " in note
    assert note.endswith(f"momentum_backbone ({count}), projector (2), classifier (2)")


@pytest.mark.parametrize("name", ["timm", "torchvision"])
@pytest.mark.parametrize("prefix", ["backbone", "student_backbone", ""])
def test_resnet_in_a_sequential_is_loaded_by_the_numbers_of_its_layers(name, prefix, tmp_path):
    """As in lightly's examples."""
    sequential = nn.Sequential(*list(plain().children())[:-1])
    state = prefixed(prefix, sequential) if prefix else sequential.state_dict()
    file = checkpoint(tmp_path / "x.ckpt", state, projection_head=nn.Linear(512, 8))
    network = backbone(name)
    note = load_initial_weights(network, file)
    assert (features(network.eval()) - features(sequential)).abs().max() <= 1e-6
    assert f"{SEQUENTIAL}; not used: projection_head (2)" in note


@pytest.mark.parametrize("sequential", [True, False])
@pytest.mark.parametrize("model", ["resnet18", "resnet50"])
def test_lightly_resnet_is_loaded_with_its_shortcuts(sequential, model, tmp_path):
    """Its own forward is the reference; in a Sequential it loses a ReLU, which the note says."""
    resnet = with_statistics(ResNetGenerator(model.replace("resnet", "resnet-")))
    resnet.linear = nn.Identity()
    layers = nn.Sequential(*list(resnet.children())[:-1], nn.AdaptiveAvgPool2d(1))
    state = prefixed("backbone", layers if sequential else resnet)
    network = backbone("timm", "cifar", model)
    note = load_initial_weights(network, checkpoint(tmp_path / "x.ckpt", state))
    assert (features(network.eval()) - features(resnet)).abs().max() <= 1e-5
    assert note.endswith(LIGHTLY_SEQUENTIAL if sequential else LIGHTLY_RESNET)


def test_missing_tensors_are_reported_with_the_names_in_the_file(tmp_path):
    state = nn.Sequential(*list(plain().children())[:-1]).state_dict()
    incomplete = {k: v for k, v in state.items() if not k.startswith("7.1.conv2")}
    with pytest.raises(CheckpointError) as caught:
        load_initial_weights(backbone(), checkpoint(tmp_path / "x.ckpt", incomplete))
    assert "7.1.conv2.weight is missing" in str(caught.value)


def test_files_without_foreign_names_are_left_to_the_host(tmp_path):
    file = checkpoint(tmp_path / "x.ckpt", prefixed("backbone", plain()), projector=nn.Linear(2, 2))
    assert read_checkpoint(file) is None
