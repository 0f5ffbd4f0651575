"""Warning about weights that may have been trained on the held-out images."""

import shutil

from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.pipeline.run import run_config
from tests.conftest import tiny


def notes(tmp_path, name, **run):
    catalog = Catalog()
    config = resolve_sections(
        tiny(run={"dir": tmp_path, "name": name, "epochs": 1, **run}), catalog
    )
    return run_config(config, catalog, Console(quiet=True)).results["notes"]


def test_weights_of_other_images_are_warned_about(tmp_path):
    warned = "held-out images"
    assert not any(warned in note for note in notes(tmp_path, "first"))
    own = notes(tmp_path, "second", init_from=tmp_path / "first")
    assert any("the backbone starts from" in note for note in own)
    assert not any(warned in note for note in own)
    elsewhere = tmp_path / "elsewhere.safetensors"
    shutil.copy(tmp_path / "first" / "backbone.safetensors", elsewhere)
    assert any(warned in note for note in notes(tmp_path, "third", init_from=elsewhere))
    moved = (
        (tmp_path / "first" / "config.ini")
        .read_text()
        .replace("num_images = 48", "num_images = 64")
    )
    (tmp_path / "first" / "config.ini").write_text(moved)
    assert any(warned in note for note in notes(tmp_path, "fourth", init_from=tmp_path / "first"))
