"""``on_epoch_start``: when it is called, with which images, and what a resumed run repeats."""

import pytest
import torch

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.errors import PluginError
from ssl_host.pipeline.dry_run import estimate_cost
from ssl_host.testing.interruption import stopped_after
from ssl_host.train.checkpoint import load_latest_checkpoint
from tests.conftest import tiny
from tests.train.step_plugin import run

PLUGIN = """
import torch
from ssl_host import MemoryBank, Method, StepOutput, hookimpl

CALLS = []

@hookimpl
def register_methods(register):
    register("epochs", "ssl_plugin_epochs:Epochs")

class Epochs(Method):
    heads = {"projector": "backbone"}
    recipe = {"head.projector": {"name": "mlp", "output_dim": 4}}
    min_views = 1

    def setup(self):
        self.memory = MemoryBank(self.plan.num_images, self.projector.output_dim)

    def on_epoch_start(self, images):
        FAIL
        index = []
        for batch in images.batches():
            assert not torch.is_grad_enabled() and not self.training
            assert not torch.is_autocast_enabled("cpu")
            index.append(batch.index)
            self.memory.put(batch.index, self.projector(self.backbone(batch.views[0])))
        views = [len(batch.views) for batch in images.batches(augmented=True)]
        CALLS.append((self.progress.epoch, self.progress.step, torch.cat(index).tolist(), views))

    def step(self, batch):
        assert self.training and bool(self.memory.seen.all())
        h = self.backbone(batch.views[0])
        loss = (self.projector(h) - self.memory.rows[batch.index]).square().mean()
        return StepOutput(loss, features=h)
"""


@pytest.fixture
def plugin(install):
    def make(body="pass"):
        install("ssl-plugin-epochs", PLUGIN.replace("FAIL", body))

    return make


def calls():
    import ssl_plugin_epochs

    return ssl_plugin_epochs.CALLS


def test_every_epoch_starts_with_all_images_once(plugin, tmp_path):
    plugin()
    run(tmp_path, method={"name": "epochs"}, run={"epochs": 3, "batch_size": 32})
    assert [(epoch, step) for epoch, step, _, _ in calls()] == [(0, 0), (1, 1), (2, 2)]
    for _, _, index, views in calls():
        assert index == list(range(48))  # 32 and the remaining 16, which no step uses
        assert set(views) == {1}


def test_dry_run_calls_it_too(plugin, tmp_path, catalog):

    plugin()
    catalog = Catalog()
    sections = tiny(method={"name": "epochs"}, run={"dir": tmp_path})
    estimate_cost(resolve_sections(sections, catalog), catalog)
    assert len(calls()) == 1


def test_error_names_plugin_line_and_epoch(plugin, tmp_path):
    plugin("raise KeyError('odd')")
    with pytest.raises(PluginError) as caught:
        run(tmp_path, method={"name": "epochs"})
    assert "in on_epoch_start of epoch 0" in str(caught.value)
    assert "ssl_plugin_epochs.py:" in str(caught.value)


def test_resume_in_the_middle_of_an_epoch_does_not_repeat_it(plugin, tmp_path):
    """The state that it made is in the checkpoint."""
    plugin()
    settings = {"method": {"name": "epochs"}, "checkpoint": {"every_minutes": 1e-9}}
    whole = run(tmp_path / "whole", **settings)
    calls().clear()
    with stopped_after(5):
        run(tmp_path / "parts", **settings)
    assert [step for _, step, _, _ in calls()] == [0, 3]
    calls().clear()
    parts = run(tmp_path / "parts", **settings)
    assert calls() == []  # it was resumed at step 4, in the middle of epoch 1
    expected, actual = (load_latest_checkpoint(o.folder / "checkpoints")[0] for o in (whole, parts))
    assert expected["step"] == actual["step"] == 6
    for name, value in expected["method"].items():
        assert torch.equal(value, actual["method"][name]), name
