"""The run hooks, in a real run of a few steps."""

import json
import sys

import pytest
from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.errors import UserError
from ssl_host.pipeline.run import run_config
from tests.conftest import tiny

WATCHING_PLUGIN = """
import pytorch_lightning as pl
from ssl_host import UserError, hookimpl

calls = []

class Counts(pl.Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        calls.append(("batch", trainer.global_step))

@hookimpl
def config_resolved(config):
    calls.append(("config", config["run"]["epochs"]))
    if config["run"]["seed"] == 13:
        raise UserError("this plugin refuses the seed 13")

@hookimpl
def training_callbacks(run):
    calls.append(("callbacks", run.name))
    return [Counts()]

@hookimpl
def run_finished(run, results):
    calls.append(("finished", (run.folder / "results.json").exists(), results["steps"]))

@hookimpl
def report_sections(run, results):
    return [("Plugin section", "<b id='plugin'>bold</b>")]
"""


def test_run_hooks_are_called_in_order(install, tmp_path):
    install("ssl-plugin-watch", WATCHING_PLUGIN)
    catalog = Catalog()
    config = resolve_sections(tiny(run={"dir": tmp_path}), catalog)
    outcome = run_config(config, catalog, Console(quiet=True))
    calls = sys.modules["ssl_plugin_watch"].calls
    assert [call[0] for call in calls] == ["config", "callbacks", *["batch"] * 6, "finished"]
    assert calls[0] == ("config", 2)
    assert calls[-1] == ("finished", True, 6)
    assert "<b id='plugin'>bold</b>" in (outcome.folder / "report.html").read_text("utf-8")
    assert json.loads((outcome.folder / "results.json").read_text("utf-8"))["steps"] == 6


def test_config_resolved_hook_can_refuse_a_configuration(install, tmp_path):
    install("ssl-plugin-watch", WATCHING_PLUGIN)
    catalog = Catalog()
    config = resolve_sections(tiny(run={"dir": tmp_path, "seed": 13}), catalog)
    with pytest.raises(UserError, match="refuses the seed 13"):
        run_config(config, catalog, Console(quiet=True))
    assert not (tmp_path / "tiny").exists()
