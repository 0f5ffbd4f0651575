"""Checkpoints of other projects give the features that those projects compute."""

import pytest
import timm
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


def test_final_norm_after_the_pooling_is_found(tmp_path):
    """As timm saves a transformer with global_pool = avg; with a class token it does not fit."""
    theirs = timm.create_model("test_vit", num_classes=10, global_pool="avg", img_size=32)
    torch.save(theirs.state_dict(), tmp_path / "x.pth")
    token, mean = (
        ssl_host.build("backbone", "timm", model="test_vit", pool=pool, in_channels=3,
                       image_size=32) for pool in ("token", "avg")
    )  # fmt: skip
    assert "after the mean of the patches" in load_initial_weights(mean, tmp_path / "x.pth")
    assert torch.equal(mean.model.norm.weight, theirs.fc_norm.weight)
    assert torch.equal(mean.model.blocks[0].attn.qkv.weight, theirs.blocks[0].attn.qkv.weight)
    with pytest.raises(CheckpointError, match=r"norm\.weight"):
        load_initial_weights(token, tmp_path / "x.pth")


def test_missing_tensors_are_reported_with_the_names_in_the_file(tmp_path):
    state = nn.Sequential(*list(plain().children())[:-1]).state_dict()
    incomplete = {k: v for k, v in state.items() if not k.startswith("7.1.conv2")}
    with pytest.raises(CheckpointError) as caught:
        load_initial_weights(backbone(), checkpoint(tmp_path / "x.ckpt", incomplete))
    assert "7.1.conv2.weight is missing" in str(caught.value)


def test_files_without_foreign_names_are_left_to_the_host(tmp_path):
    file = checkpoint(tmp_path / "x.ckpt", prefixed("backbone", plain()), projector=nn.Linear(2, 2))
    assert read_checkpoint(file) is None


def as_moco(first, second):
    """As in facebookresearch/moco, main_moco.py."""
    state = {
        **prefixed("module.encoder_q", first),
        **prefixed("module.encoder_k", second),
        "module.encoder_q.fc.0.weight": torch.zeros(8, 512),
        "module.queue": torch.zeros(8, 16),
        "module.queue_ptr": torch.zeros(1, dtype=torch.long),
    }
    return {"epoch": 200, "arch": "resnet18", "state_dict": state, "optimizer": {"state": {}}}


def as_moco_v3(first, second):
    state = {
        **prefixed("module.base_encoder", first),
        **prefixed("module.momentum_encoder", second),
        **prefixed("module.predictor.0", nn.Linear(2, 2)),
    }
    return {"epoch": 300, "arch": "resnet18", "state_dict": state, "scaler": {}}


def as_simsiam(first, _):
    """As in facebookresearch/simsiam, main_simsiam.py."""
    state = {
        **prefixed("module.encoder", first),
        **prefixed("module.encoder.fc.0", nn.Linear(512, 8)),
        **prefixed("module.predictor.0", nn.Linear(2, 2)),
    }
    return {"epoch": 100, "arch": "resnet18", "state_dict": state, "optimizer": {"state": {}}}


def as_dino(first, second, teacher="module.backbone"):
    """As in facebookresearch/dino, main_dino.py: the authors evaluate the teacher."""
    return {
        "student": {
            **prefixed("module.backbone", second),
            **prefixed("module.head", nn.Linear(2, 2)),
        },
        "teacher": {**prefixed(teacher, first), **prefixed("head", nn.Linear(2, 2))},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}},
        "epoch": 100,
        "dino_loss": {"center": torch.zeros(1, 8)},
    }


def as_dino_without_ddp(first, second):
    return as_dino(first, second, "backbone")


def as_dino_v2(first, second):
    state = {**prefixed("student.backbone", second), **prefixed("teacher.backbone", first)}
    return {"model": state, "iteration": 10}


def as_ijepa(first, second):
    return {
        "encoder": prefixed("module", second),
        "predictor": prefixed("module", nn.Linear(2, 2)),
        "target_encoder": prefixed("module", first),
        "opt": {"state": {}},
    }


def as_barlow_twins(first, _):
    state = {**prefixed("module.backbone", first), **prefixed("module.projector", nn.Linear(2, 2))}
    return {"epoch": 1000, "model": state}


def as_swav(first, _):
    state = prefixed("module", first)
    return {**state, **prefixed("module.projection_head.0", nn.Linear(512, 8))}


def as_timm(first, second):
    """As timm's train.py with --model-ema; the moving average is evaluated."""
    return {
        "arch": "resnet18",
        "state_dict": dict(second.state_dict()),
        "optimizer": {"state": {}},
        "state_dict_ema": dict(first.state_dict()),
    }


def as_mae_with_ema(first, second):
    return {"model": dict(second.state_dict()), "model_ema": prefixed("module", first)}


def as_lightly_dino(first, second):
    state = {**prefixed("student_backbone", second), **prefixed("teacher_backbone", first)}
    return {"state_dict": state}


def as_nested_lightning(first, _):
    state = {**prefixed("model.online.net", first), **prefixed("model.head", nn.Linear(2, 2))}
    return {"state_dict": state, "hyper_parameters": {"lr": 0.1}}


def as_lightly_in_another_module(first, _):
    layers = nn.Sequential(*list(first.children())[:-1])
    return {"state_dict": prefixed("learner.net", layers)}


@pytest.mark.parametrize(
    "layout",
    [
        *(as_moco, as_moco_v3, as_simsiam, as_dino, as_dino_without_ddp, as_dino_v2, as_ijepa),
        *(as_timm, as_mae_with_ema, as_lightly_dino),
        *(as_barlow_twins, as_swav, as_nested_lightning, as_lightly_in_another_module),
    ],
)
def test_checkpoint_of_a_well_known_code_gives_the_network_that_its_authors_evaluate(
    layout, tmp_path
):
    first, second = plain(), plain()
    with torch.no_grad():
        second.conv1.weight.mul_(2)
    torch.save(layout(first, second), tmp_path / "x.pth.tar")
    network = backbone("timm")
    note = load_initial_weights(network, tmp_path / "x.pth.tar")
    assert (features(network.eval()) - features(first)).abs().max() <= 1e-6
    assert f"{len(first.state_dict())} tensors" in note


def test_key_and_prefix_choose_another_network_than_the_usual_one(tmp_path):
    first, second = plain(), plain()
    with torch.no_grad():
        second.conv1.weight.mul_(2)
    torch.save(as_dino(first, second), tmp_path / "dino.pth")
    torch.save(as_moco(first, second), tmp_path / "moco.pth")
    for file, choice in (("dino", {"key": "student"}), ("moco", {"prefix": "module.encoder_k"})):
        network = backbone("timm")
        load_initial_weights(network, tmp_path / f"{file}.pth", **choice)
        assert (features(network.eval()) - features(second)).abs().max() <= 1e-6


@pytest.mark.parametrize(
    ("layout", "others"),
    [
        (as_timm, "not used, although they also fit: state_dict"),
        (as_mae_with_ema, "not used, although they also fit: model"),
        (as_dino, "not used, although they also fit: student"),
        (as_lightly_dino, "not used: student_backbone ("),
        (as_moco, "encoder_k"),
    ],
)
def test_networks_that_are_not_used_are_named(layout, others, tmp_path):
    first, second = plain(), plain()
    with torch.no_grad():
        second.conv1.weight.mul_(2)
    torch.save(layout(first, second), tmp_path / "x.pth")
    assert others in load_initial_weights(backbone("timm"), tmp_path / "x.pth")


def test_two_networks_of_an_unknown_code_are_refused(tmp_path):
    first, second = plain(), plain()
    with torch.no_grad():
        second.conv1.weight.mul_(2)
    states = {"state_dict": prefixed("encoder", first), "ema": prefixed("encoder", second)}
    torch.save(states, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="several networks that fit the backbone"):
        load_initial_weights(backbone("timm"), tmp_path / "x.pth")
