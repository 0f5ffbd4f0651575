"""The run folder: its stored configuration and the comparison with another one."""

import json
from dataclasses import replace

import pytest

from ssl_host.config.auto_settings import resolve_auto
from ssl_host.config.resolve import resolve_file, resolve_sections
from ssl_host.errors import RunFolderError
from ssl_host.run_folder.folder import _RESULT_KEYS, RunFolder
from tests.conftest import as_ini, tiny


def start_run(path, config):
    """Store a configuration and leave a checkpoint, as an unfinished run does."""
    with RunFolder(path) as folder:
        folder.claim(config)
    folder.checkpoints.mkdir()
    (folder.checkpoints / "step-000000001.ckpt").touch()
    return folder


def test_config_json_holds_typed_values_and_names_of_environment_variables(
    catalog, tmp_path, monkeypatch
):
    monkeypatch.setenv("RUN_SEED", "7")
    sections = tiny(run={"seed": "${env:RUN_SEED}"}, trainer={"channels_last": "false"})
    (tmp_path / "c.ini").write_text(as_ini(sections), encoding="utf-8")
    config = resolve_auto(resolve_file(tmp_path / "c.ini", (), catalog))
    start_run(tmp_path / "run", config)
    values = json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))
    assert values["run"]["epochs"] == 2
    assert values["run"]["seed"] == "${env:RUN_SEED}"
    assert values["run"]["init_from"] is None
    assert values["trainer"]["channels_last"] is False
    assert values["backbone"]["name"] == "small_conv"


def test_diff_equal_config_is_empty_and_changes_are_listed(catalog, tmp_path):
    config = resolve_auto(resolve_sections(tiny(), catalog))
    folder = start_run(tmp_path / "run", config)
    assert folder.diff(resolve_file(folder.config_file, (), catalog)) == []
    changed = tiny(run={"epochs": 3}, trainer={"gradient_clip": 1.0, "log_every": 1})
    assert folder.diff(resolve_sections(changed, catalog)) == [
        "[run] epochs: was 2, is 3",
        "[trainer] gradient_clip: was (unset), is 1.0",
    ]


def test_diff_settings_that_do_not_affect_the_outcome_are_no_changes(catalog, tmp_path):
    folder = start_run(tmp_path / "run", resolve_auto(resolve_sections(tiny(), catalog)))
    sections = tiny(run={"dir": tmp_path, "name": "other"}, checkpoint={"keep": 7})
    sections["evaluator.knn"] = {"name": "knn"}
    assert folder.diff(resolve_sections(sections, catalog)) == []


def test_defaults_of_settings_that_an_older_version_did_not_have_are_no_changes(catalog, tmp_path):
    folder = start_run(tmp_path / "run", resolve_auto(resolve_sections(tiny(), catalog)))
    file = folder.path / "config.json"
    values = json.loads(file.read_text("utf-8"))
    older = {k: v for k, v in values.items() if not k.startswith(("baseline.", "evaluate"))}
    del older["run"]["patience"], older["checkpoint"]["best"]
    file.write_text(json.dumps(older), encoding="utf-8")
    # A finished run must have the same evaluators and baselines, too.
    results = json.dumps(dict.fromkeys(_RESULT_KEYS))
    (folder.path / "results.json").write_text(results, encoding="utf-8")
    assert folder.diff(resolve_sections(tiny(), catalog)) == []
    changed = tiny(run={"patience": 4})
    changed["baseline.pixels"] = {"name": "pixels", "max_side": 8}
    changes = folder.diff(resolve_sections(changed, catalog))
    assert changes[0] == "[run] patience: was (unset), is 4"
    assert any("max_side" in change for change in changes)


def test_claim_restores_stored_auto_values_with_their_types(catalog, tmp_path):
    config = resolve_auto(resolve_sections(tiny(trainer={"num_threads": "auto"}), catalog))
    for key, value in (("channels_last", False), ("num_threads", 3), ("precision", "64-true")):
        config = config.with_value(
            "trainer", key, value, config.entries["trainer", key].origin.layer
        )
    folder = start_run(tmp_path / "run", config)
    resumed = resolve_auto(resolve_sections(tiny(trainer={"num_threads": "auto"}), catalog))
    trainer = folder.claim(resumed).trainer
    assert (trainer.channels_last, trainer.num_threads, trainer.precision) == (False, 3, "64-true")


def test_claim_before_any_checkpoint_allows_changes(catalog, tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder:
        folder.claim(resolve_sections(tiny(), catalog))
        folder.claim(resolve_sections(tiny(run={"epochs": 5}), catalog))
    assert folder.config_values()["run"]["epochs"] == 5


@pytest.mark.parametrize("content", ["{", "[1]", '{"run": 3}', None])
def test_damaged_config_json_is_an_error_with_its_path(content, catalog, tmp_path):
    config = replace(resolve_sections(tiny(), catalog), notes=())
    folder = start_run(tmp_path / "run", config)
    file = folder.path / "config.json"
    file.unlink() if content is None else file.write_text(content, encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"config\.json.*use --fresh"):
        folder.diff(config)
