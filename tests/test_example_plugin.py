"""Tests of examples/ssl-plugin-mmcr: its size, its loss, and runs of the installed plugin."""

import importlib
import json
import sys
from pathlib import Path

import importlib_metadata
import pytest
import torch

import ssl_host
from ssl_host import Batch
from ssl_host.testing import assert_matches_reference
from tests.processes import run_module
from tests.wheels import install

EXAMPLE = Path(__file__).parents[1] / "examples" / "ssl-plugin-mmcr"
MAX_LINES = 60


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    return install(EXAMPLE, tmp_path_factory.mktemp("site"))


@pytest.fixture
def installed(env, monkeypatch):
    """Make the plugin available in this process."""
    monkeypatch.syspath_prepend(env["PYTHONPATH"])
    importlib_metadata.MetadataPathFinder.invalidate_caches()
    importlib.invalidate_caches()
    yield
    for module in [name for name in sys.modules if name.startswith("ssl_plugin_mmcr")]:
        del sys.modules[module]
    importlib_metadata.MetadataPathFinder.invalidate_caches()


def test_plugin_has_at_most_60_lines():
    """Blank lines, docstrings and hooks are included."""
    files = sorted((EXAMPLE / "ssl_plugin_mmcr").rglob("*.py"))
    assert [file.name for file in files] == ["__init__.py", "method.py"]
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    assert lines <= MAX_LINES


def reference_loss(*views):
    """Return equation 7 by the eigenvalues of the Gram matrix of the mean embeddings."""
    means = sum(z / z.norm(dim=1, keepdim=True) for z in views) / len(views)
    gram = means @ means.T if len(means) <= means.shape[1] else means.T @ means
    return -torch.linalg.eigvalsh(gram).clamp_min(0).sqrt().sum()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("count", [2, 5])
def test_loss_and_gradient_equal_reference(count):
    torch.manual_seed(0)
    backbone = ssl_host.build(
        "backbone", "small_conv", in_channels=1, image_size=8, width=4, num_stages=2
    )
    head = {"head.projector": {"hidden_dim": 12, "output_dim": 4}}
    method = ssl_host.build("method", "mmcr", backbone=backbone, **head).double()
    views = list(torch.randn(2, count, 1, 8, 8, dtype=torch.float64))
    loss = method.step(Batch(views, torch.arange(count))).loss
    features = backbone(torch.cat(views)).chunk(2)  # batch norm sees both views together
    expected = reference_loss(*map(method.projector, features))
    assert_matches_reference(loss, expected, [p for _, p in method.trainable_parameters()])


def test_installed_plugin_runs_and_beats_pixels(env, tmp_path):
    run = ("run", EXAMPLE / "config.ini", "-o", "run.epochs=5")
    done = run_module("ssl_host", *run, environment=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "runs/mmcr/results.json").read_text("utf-8"))
    metrics = results["metrics"]
    assert results["steps"] == 5 * 8
    assert metrics["few_label.10.top1"] > metrics["pixels.few_label.10.top1"] + 0.1


def test_installed_plugin_passes_its_tests(env, tmp_path):
    arguments = ("-p", "no:cacheprovider", "-o", f"cache_dir={tmp_path}", EXAMPLE)
    done = run_module("pytest", *arguments, environment=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_host_does_not_mention_the_plugin():
    for file in (EXAMPLE.parents[1] / "ssl_host").rglob("*.py"):
        assert "mmcr" not in file.read_text(encoding="utf-8").lower(), file
