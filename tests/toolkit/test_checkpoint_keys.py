"""Matching of checkpoints with a network: classifiers, larger networks, messages."""

import pytest
import torch
import torchvision

import ssl_host
from ssl_host import KeyMapping
from ssl_host.errors import CheckpointError
from ssl_host.initial_weights import load_initial_weights
from ssl_host.toolkit.checkpoint_keys import list_groups


def backbone(model="resnet18"):
    sizes = {"in_channels": 3, "image_size": 32}
    return ssl_host.build("backbone", "torchvision", model=model, **sizes).eval()


def checkpoint(path, state):
    """Write a checkpoint as Lightning does."""
    torch.save({"state_dict": state, "epoch": 9, "pytorch-lightning_version": "2"}, path)
    return path


def test_key_mapping_converts_names_in_both_directions():
    mapping = KeyMapping("net.", "", {"layer1": "4"}, {"downsample.": "shortcut."})
    assert mapping.file_name("layer1.0.downsample.1.bias") == "net.4.0.shortcut.1.bias"
    assert mapping.network_name("net.4.0.shortcut.1.bias") == "layer1.0.downsample.1.bias"
    assert mapping.file_name("conv1.weight") == "net.conv1.weight"
    assert mapping.network_name("other.conv1.weight") is None


def test_list_groups_counts_names_by_their_first_component():
    names = ["a.x", "b.x", "b.y", *(f"{letter}.w" for letter in "cdefg")]
    assert list_groups(names) == "b (2), a (1), c (1), d (1), e (1) and 2 others"
    assert list_groups(["net.a.x", "net.a.y", "head.b.x"], "net.") == "net.a (2), head (1)"


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_weights_of_a_deeper_network_are_refused(prefix, tmp_path):
    """A ResNet-34 contains every tensor of a ResNet-18."""
    deeper = {prefix + k: v for k, v in torchvision.models.resnet34().state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_initial_weights(backbone(), checkpoint(tmp_path / "x.ckpt", deeper))
    assert f"{prefix}layer1.2.conv1.weight is not part of the network" in str(caught.value)


def test_weights_with_an_additional_bias_are_refused(tmp_path):
    state = {**torchvision.models.resnet18().state_dict(), "conv1.bias": torch.ones(64)}
    with pytest.raises(CheckpointError, match=r"conv1\.bias is not part of the network"):
        load_initial_weights(backbone(), checkpoint(tmp_path / "x.ckpt", state))


@pytest.mark.parametrize("model", ["mobilenet_v3_small", "resnet18", "vit_b_32"])
def test_classifier_is_not_used_and_listed(model, tmp_path):
    """The backbone of torchvision's MobileNet keeps the first layers of its classifier."""
    size = {"image_size": 32} if model.startswith("vit") else {}
    network = torchvision.models.get_model(model, **size)
    file = checkpoint(tmp_path / "x.ckpt", network.state_dict())
    note = load_initial_weights(backbone(model=model), file)
    classifier = {"mobilenet_v3_small": "classifier", "resnet18": "fc", "vit_b_32": "heads"}[model]
    assert note.endswith(f"not used: {classifier} (2)")
