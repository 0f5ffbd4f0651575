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
from timm.models import adapt_input_conv

import ssl_host
from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.errors import CheckpointError, ConfigError, UserError
from ssl_host.initial_weights import load_initial_weights
from ssl_host.weights import load_weights, read_tensors
from tests.conftest import tiny


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
    state = {f"net.{n}": v for n, v in resnet(0).model.state_dict().items() if "layer4" not in n}
    state = {n.replace("conv1", "first"): v for n, v in state.items()}
    torch.save({"state_dict": {**state, "head.weight": torch.zeros(3)}}, tmp_path / "old.ckpt")
    with pytest.raises(CheckpointError) as caught:
        load_initial_weights(resnet(1), tmp_path / "old.ckpt", catalog)
    message = str(caught.value)
    assert f"net ({len(state)}), head (1)" in message
    assert "pip install ssl-plugin-checkpoints" in message


def state_of(network, prefix):
    return {f"{prefix}{name}": value for name, value in network.model.state_dict().items()}


@pytest.mark.parametrize(
    ("checkpoint", "place"),
    [
        (lambda s: {"state_dict": state_of(s, "model.net.encoder.")}, "under model.net.encoder"),
        (lambda s: {"classy": {"base": {"trunk": state_of(s, "_f.")}}}, "under _f in classy.base"),
        (lambda s: {"nets": {"student": state_of(s, "")}, "optimizer": {"x": state_of(s, "")}}, ""),
        (lambda s: {"model": state_of(s, "_orig_mod.module.net.")}, "under module.net"),
    ],
)
def test_weights_at_any_place_in_a_file_are_found(checkpoint, place, tmp_path):
    source, target = resnet(0), resnet(1)
    torch.save(checkpoint(source), tmp_path / "x.pth")
    note = load_initial_weights(target, tmp_path / "x.pth")
    assert same(source, target)
    assert place in note


def test_several_networks_in_a_file_are_refused_until_one_is_chosen(tmp_path):
    first, second, target = resnet(0), resnet(1), resnet(2)
    states = {
        "a": state_of(first, "m.x."),
        "b": {**state_of(first, "y."), **state_of(second, "z.")},
    }
    torch.save(states, tmp_path / "x.pth")
    with pytest.raises(CheckpointError) as caught:
        load_initial_weights(target, tmp_path / "x.pth")
    assert "init_key = a, init_prefix = m.x.; or init_key = b, init_prefix = z." in str(
        caught.value
    )
    for prefix in ("z", "z."):
        load_initial_weights(target, tmp_path / "x.pth", key="b", prefix=prefix)
        assert same(second, target)
    load_initial_weights(target, tmp_path / "x.pth", key="a")
    assert same(first, target)


def test_key_and_prefix_replace_the_usual_choice(tmp_path):
    source, ema, target = resnet(0), resnet(1), resnet(2)
    state = {**state_of(source, "backbone."), **state_of(ema, "ema_backbone.")}
    for checkpoint in (
        {"method": state, "extra": {"copy": state_of(ema, "")}},  # as ssl-host's checkpoints
        {"model": state},
    ):
        torch.save(checkpoint, tmp_path / "x.pth")
        load_initial_weights(target, tmp_path / "x.pth")
        assert same(source, target)
        load_initial_weights(target, tmp_path / "x.pth", prefix="ema_backbone")
        assert same(ema, target)
    load_initial_weights(target, tmp_path / "x.pth", key="model", prefix="backbone")
    assert same(source, target)


def test_usual_weights_with_another_fitting_network_are_refused(tmp_path):
    source, ema, target = resnet(0), resnet(1), resnet(2)
    states = {"model": state_of(source, ""), "ema": state_of(ema, "module.")}
    torch.save(states, tmp_path / "x.pth")
    with pytest.raises(CheckpointError) as caught:
        load_initial_weights(target, tmp_path / "x.pth")
    assert "init_key = model; or init_key = ema, init_prefix = module." in str(caught.value)
    load_initial_weights(target, tmp_path / "x.pth", key="ema")
    assert same(ema, target)
    torch.save({**states, "ema": state_of(source, "")}, tmp_path / "x.pth")  # equal networks
    load_initial_weights(target, tmp_path / "x.pth")
    assert same(source, target)


def test_batch_norms_without_counters_are_loaded(tmp_path):
    source, target = resnet(0), resnet(1)
    state = {n: v for n, v in state_of(source, "net.").items() if "num_batches" not in n}
    torch.save({"model": state}, tmp_path / "x.pth")
    note = load_initial_weights(target, tmp_path / "x.pth")
    assert same(source, target)
    assert "20 counters num_batches_tracked are not in the file" in note


@pytest.mark.parametrize("name", ["optical_net", "optimized_model", "opt_in_encoder"])
def test_network_whose_name_resembles_an_optimizer_is_found(name, tmp_path):
    source, target = resnet(0), resnet(1)
    states = {name: state_of(source, ""), "optimizer_states": {"a": state_of(target, "")}}
    torch.save(states, tmp_path / "x.pth")
    assert f"in {name}" in load_initial_weights(target, tmp_path / "x.pth")
    assert same(source, target)


def test_unknown_key_or_prefix_lists_what_the_file_holds(tmp_path):
    source = resnet(0)
    torch.save({"net": state_of(source, "a."), "head": {"w": torch.ones(2)}}, tmp_path / "x.pth")
    for choice in ({"key": "teacher"}, {"prefix": "teacher"}):
        with pytest.raises(CheckpointError) as caught:
            load_initial_weights(resnet(1), tmp_path / "x.pth", **choice)
        assert "net: a.layer2 (30), a.layer3 (30)" in str(caught.value)
        assert "init_key" in str(caught.value)


def test_init_key_without_init_from_is_refused(catalog):
    with pytest.raises(ConfigError, match=r"init_key.*init_from"):
        resolve_sections(tiny(run={"init_key": "teacher"}), catalog)


@pytest.mark.parametrize(("given", "wanted"), [(3, 1), (1, 3), (3, 4), (4, 3), (3, 6)])
def test_weights_of_other_channels_are_converted_as_timm_converts_them(given, wanted, tmp_path):
    torch.manual_seed(0)
    sizes = {"image_size": 32, "model": "resnet18"}
    source = ssl_host.build("backbone", "timm", in_channels=given, **sizes)
    target = ssl_host.build("backbone", "timm", in_channels=wanted, **sizes)
    save_file(source.model.state_dict(), tmp_path / "x.safetensors")
    note = load_initial_weights(target, tmp_path / "x.safetensors")
    assert f"conv1.weight was converted from shape (64, {given}, 7, 7)" in note
    weight, expected = target.model.conv1.weight, source.model.conv1.weight
    if given == 3:
        expected = adapt_input_conv(wanted, expected)
        assert torch.allclose(weight, expected, atol=1e-6)
    grey = torch.rand(2, 1, 32, 32)  # equal channels give the same features
    scale = 1.0 if wanted != 4 and given != 4 else None
    if scale and wanted != 1:
        a = source.eval()(grey.expand(-1, given, -1, -1))
        b = target.eval()(grey.expand(-1, wanted, -1, -1))
        assert torch.allclose(a, b, atol=1e-4)


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
            lambda s: s.update({"conv1.weight": torch.zeros(64, 3, 5, 5)}),
            "conv1.weight has shape (64, 3, 5, 5), expected (64, 3, 7, 7)",
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
    with pytest.raises(UserError, match="nothing: no such file or folder"):
        ssl_host.load_backbone(tmp_path / "nothing")
    (tmp_path / "mine.ini").write_text("[run]", encoding="utf-8")
    with pytest.raises(UserError, match=r"is a configuration.*runs/mine"):
        ssl_host.load_backbone(tmp_path / "mine.ini")


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
