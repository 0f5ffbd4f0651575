"""Weights in files: own and foreign checkpoints, damaged and malicious files."""

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
from ssl_host.catalog.catalog import Catalog
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


@pytest.mark.parametrize("prefix", ["backbone.", ""])
def test_lightning_checkpoint_with_own_names_is_loaded(prefix, tmp_path):
    source, target = resnet(0), resnet(1)
    state = {prefix + name: value for name, value in source.model.state_dict().items()}
    state["projector.0.weight"] = torch.zeros(3)
    torch.save({"state_dict": state, "epoch": 3, "global_step": 70}, tmp_path / "old.ckpt")
    note = load_initial_weights(target, tmp_path / "old.ckpt")
    assert same(source, target)
    assert "the backbone starts from" in note
    assert "not used: projector (1)" in note


def test_foreign_checkpoint_without_its_plugin_names_what_to_install(tmp_path):
    catalog = Catalog(["checkpoints"])
    catalog.plugins = [p for p in catalog.plugins if p.origin.plugin != "checkpoints"]
    state = {f"online_network.{n}": v for n, v in resnet(0).model.state_dict().items()}
    torch.save({"state_dict": {**state, "head.weight": torch.zeros(3)}}, tmp_path / "old.ckpt")
    with pytest.raises(CheckpointError) as caught:
        load_initial_weights(resnet(1), tmp_path / "old.ckpt", catalog)
    message = str(caught.value)
    assert f"online_network ({len(state)}), head (1)" in message
    assert "pip install ssl-plugin-checkpoints" in message


HOOK = """
import torch
from ssl_host import KeyMapping, StoredWeights, hookimpl
@hookimpl
def read_weights(path):
    if path.suffix == ".odd":
        tensors = {"net." + name: torch.full(shape, 2.0) for name, shape in SHAPES.items()}
        return StoredWeights(tensors, lambda network: iter([KeyMapping("net.", "as odd files")]))
"""


def test_plugin_reads_files_of_another_format(install, tmp_path):
    network = ssl_host.build("backbone", "small_conv", in_channels=1, image_size=16)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    install("ssl-plugin-odd", HOOK.replace("SHAPES", repr(shapes)))
    (tmp_path / "weights.odd").write_text("not a pickle")
    note = load_initial_weights(network, tmp_path / "weights.odd", Catalog())
    assert note.endswith("tensors under net, as odd files")
    assert all((value == 2).all() for value in network.state_dict().values())


def test_unfinished_run_folder_gives_its_newest_checkpoint(tmp_path):
    source, target = resnet(0), resnet(1)
    (tmp_path / "checkpoints").mkdir()
    for step in (3, 12):
        state = {f"backbone.{n}": v + step for n, v in source.state_dict().items()}
        torch.save({"method": state}, tmp_path / "checkpoints" / f"step-{step:09d}.ckpt")
    load_initial_weights(target, tmp_path)
    name, value = next(iter(source.state_dict().items()))
    assert torch.equal(target.state_dict()[name], value + 12)


class Unknown(torch.nn.Module):
    """A class that the reader of the checkpoint does not have."""

    def __setstate__(self, state):
        raise AssertionError("code of a checkpoint ran")


def test_objects_next_to_the_weights_are_skipped(tmp_path):
    """Lightning's hyperparameters may contain a whole network; none of its code is executed."""
    source, target = resnet(0), resnet(1)
    state = {f"backbone.{name}": value for name, value in source.model.state_dict().items()}
    hyper_parameters = {
        "backbone": source.model,
        "unknown": Unknown(),
        "arguments": argparse.Namespace(lr=0.1, path=Path("x"), sizes={1, 2}),
        "norm": functools.partial(torch.nn.BatchNorm2d, eps=1e-4),
        "numbers": [np.float64(1.5), np.zeros(3), torch.float32, torch.Size([2])],
    }
    torch.save({"state_dict": state, "hyper_parameters": hyper_parameters}, tmp_path / "old.ckpt")
    load_initial_weights(target, tmp_path / "old.ckpt")
    assert same(source, target)


class Evil:
    """Object that creates a folder when it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("hacked",))


def test_pickle_with_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "extra": Evil()}, "evil.ckpt")
    with pytest.raises(CheckpointError) as caught:
        load_initial_weights(resnet(0), tmp_path / "evil.ckpt")
    assert "evil.ckpt" in str(caught.value)
    assert "posix.mkdir" in str(caught.value)
    assert not (tmp_path / "hacked").exists()


def test_damaged_file_is_reported(tmp_path):
    save_file({"a": torch.zeros(4)}, tmp_path / "x.safetensors")
    payload = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(payload[:-3])
    with pytest.raises(CheckpointError, match=r"x\.safetensors is damaged"):
        read_tensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv1.weight"), "conv1.weight is missing"),
        (
            lambda s: s.update({"conv1.weight": torch.zeros(64, 1, 7, 7)}),
            "conv1.weight has shape (64, 1, 7, 7), expected (64, 3, 7, 7)",
        ),
        (lambda s: s.clear(), "does not contain weights of this backbone"),
    ],
)
def test_tensors_that_do_not_fit_are_reported(change, message, tmp_path):
    backbone = resnet(0)
    state = dict(backbone.model.state_dict())
    change(state)
    with pytest.raises(CheckpointError) as caught:
        load_weights(backbone, state, tmp_path / "x.ckpt")
    assert message in str(caught.value)


def test_missing_files_are_reported(tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        load_initial_weights(resnet(0), tmp_path / "nothing")
    with pytest.raises(UserError, match=r"no backbone\.safetensors, no model\.safetensors"):
        load_initial_weights(resnet(0), tmp_path)
    with pytest.raises(UserError, match="no such file"):
        ssl_host.load_backbone(tmp_path)


def test_damaged_description_is_reported(tmp_path):
    save_file({"a": torch.zeros(4)}, tmp_path / "backbone.safetensors")
    (tmp_path / "backbone.json").write_text(json.dumps({"backbone": {}}))
    with pytest.raises(UserError, match="cannot be read as the description"):
        ssl_host.load_backbone(tmp_path)


def test_settings_that_the_installed_plugin_does_not_accept_are_reported(tmp_path):
    save_file({"a": torch.zeros(4)}, tmp_path / "backbone.safetensors")
    about = {
        "backbone": {"name": "small_conv", "settings": {"width": "x"}},
        "plugin": {"distribution": "ssl-host", "version": "0.0.9"},
        **{"in_channels": 1, "image_size": 16, "mean": [0.5], "std": [0.5]},
    }
    (tmp_path / "backbone.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"backbone\.json.*width.*ssl-host 0\.0\.9"):
        ssl_host.load_backbone(tmp_path)
