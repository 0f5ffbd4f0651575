"""Backbones on the disk: ours, other projects', and what must not be opened."""

import argparse
import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import ssl_host
from ssl_host.errors import CheckpointError, UserError
from ssl_host.weights import load_initial_weights, load_weights, read_tensors


def resnet(seed, **settings):
    torch.manual_seed(seed)
    return ssl_host.build(
        "backbone", "timm", model="resnet18", in_channels=3, image_size=32, **settings
    )


def same(a, b):
    return all(
        torch.equal(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    "prefix",
    ["backbone.", "", "encoder.", "online_network.", "model.", "module.", "feature_extractor."],
)
def test_a_lightning_checkpoint_of_another_project(prefix, tmp_path):
    """Weights only, under the names that project keeps them; heads beside them are left alone."""
    source, target = resnet(0), resnet(1)
    state = {prefix + name: value for name, value in source.model.state_dict().items()}
    state["projector.0.weight"] = torch.zeros(3)
    torch.save({"state_dict": state, "epoch": 3, "global_step": 70}, tmp_path / "old.ckpt")
    told = load_initial_weights(target, tmp_path / "old.ckpt")
    assert same(source, target)
    assert "the backbone starts from" in told


def test_a_run_folder_that_never_finished_gives_its_newest_checkpoint(tmp_path):
    source, target = resnet(0), resnet(1)
    (tmp_path / "checkpoints").mkdir()
    for step in (3, 12):
        state = {f"backbone.{n}": v + step for n, v in source.state_dict().items()}
        torch.save({"method": state}, tmp_path / "checkpoints" / f"step-{step:09d}.ckpt")
    load_initial_weights(target, tmp_path)
    name, value = next(iter(source.state_dict().items()))
    assert torch.equal(target.state_dict()[name], value + 12)


class Unknown(torch.nn.Module):
    """A class that its reader need not have."""

    def __setstate__(self, state):
        raise AssertionError("code of a checkpoint ran")


def test_objects_beside_the_weights_are_passed_over(tmp_path):
    """Lightning's hyperparameters may hold a whole network; no class of it is brought to life."""
    source, target = resnet(0), resnet(1)
    state = {f"backbone.{name}": value for name, value in source.model.state_dict().items()}
    beside = {
        "backbone": source.model,
        "unknown": Unknown(),
        "arguments": argparse.Namespace(lr=0.1, path=Path("x"), sizes={1, 2}),
        "norm": functools.partial(torch.nn.BatchNorm2d, eps=1e-4),
        "numbers": [np.float64(1.5), np.zeros(3), torch.float32, torch.Size([2])],
    }
    torch.save({"state_dict": state, "hyper_parameters": beside}, tmp_path / "old.ckpt")
    load_initial_weights(target, tmp_path / "old.ckpt")
    assert same(source, target)


class Evil:
    """What a pickle could do."""

    def __reduce__(self):
        return (os.mkdir, ("hacked",))


def test_a_pickle_with_code_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "extra": Evil()}, "evil.ckpt")
    with pytest.raises(CheckpointError) as caught:
        load_initial_weights(resnet(0), tmp_path / "evil.ckpt")
    assert "calls posix.mkdir); a pickle that holds more than tensors could run any code" in str(
        caught.value
    )
    assert not (tmp_path / "hacked").exists()


def test_a_damaged_file_is_named(tmp_path):
    save_file({"a": torch.zeros(4)}, tmp_path / "x.safetensors")
    payload = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(payload[:-3])
    with pytest.raises(CheckpointError, match="is damaged or no safetensors file"):
        read_tensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv1.weight"), "conv1.weight is missing"),
        (
            lambda s: s.update({"conv1.weight": torch.zeros(64, 1, 7, 7)}),
            "conv1.weight is (64, 1, 7, 7) and should be (64, 3, 7, 7)",
        ),
        (lambda s: s.clear(), "holds no weights of this backbone"),
    ],
)
def test_what_does_not_fit_is_named(change, message, tmp_path):
    backbone = resnet(0)
    state = dict(backbone.model.state_dict())
    change(state)
    with pytest.raises(CheckpointError) as caught:
        load_weights(backbone, state, tmp_path / "x.ckpt")
    assert message in str(caught.value)


def test_nothing_there_is_told(tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        load_initial_weights(resnet(0), tmp_path / "nothing")
    with pytest.raises(UserError, match=r"no backbone\.safetensors, no model\.safetensors"):
        load_initial_weights(resnet(0), tmp_path)
    with pytest.raises(UserError, match="no such file; a finished run leaves it"):
        ssl_host.load_backbone(tmp_path)


def test_a_description_that_is_broken_is_told(tmp_path):
    save_file({"a": torch.zeros(4)}, tmp_path / "backbone.safetensors")
    (tmp_path / "backbone.json").write_text(json.dumps({"backbone": {}}))
    with pytest.raises(UserError, match="cannot be read as the description"):
        ssl_host.load_backbone(tmp_path)


def test_settings_that_the_plugin_of_now_does_not_take_are_told(tmp_path):
    """Seen to fail with pydantic's traceback."""
    save_file({"a": torch.zeros(4)}, tmp_path / "backbone.safetensors")
    about = {
        "backbone": {"name": "small_conv", "settings": {"width": "x"}},
        "plugin": {"distribution": "ssl-host", "version": "0.0.9"},
        **{"in_channels": 1, "image_size": 16, "mean": [0.5], "std": [0.5]},
    }
    (tmp_path / "backbone.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"does not take the setting width = 'x'.*ssl-host 0\.0\.9"):
        ssl_host.load_backbone(tmp_path)
