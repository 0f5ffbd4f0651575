"""A run that starts from weights that may have seen the test images has a note."""

import json
import shutil

from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.pipeline.run import run_config
from tests.conftest import tiny


def run_notes(tmp_path, name, **run):
    catalog = Catalog()
    config = resolve_sections(
        tiny(run={"dir": tmp_path, "name": name, "epochs": 1, **run}), catalog
    )
    return run_config(config, catalog, Console(quiet=True)).results["notes"]


def test_init_from_other_images_adds_a_warning(tmp_path):
    warning = "may have been trained on the test images"
    assert not any(warning in note for note in run_notes(tmp_path, "first"))
    own = run_notes(tmp_path, "second", init_from=tmp_path / "first")
    assert any("the backbone starts from" in note for note in own)
    assert not any(warning in note for note in own)
    elsewhere = tmp_path / "elsewhere.safetensors"
    shutil.copy(tmp_path / "first" / "backbone.safetensors", elsewhere)
    assert any(warning in note for note in run_notes(tmp_path, "third", init_from=elsewhere))
    config_file = tmp_path / "first" / "config.json"
    config = json.loads(config_file.read_text("utf-8"))
    config["data"]["num_images"] = 64
    config_file.write_text(json.dumps(config), "utf-8")
    assert any(
        warning in note for note in run_notes(tmp_path, "fourth", init_from=tmp_path / "first")
    )
