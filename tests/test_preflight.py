"""Warnings about settings, which ``run``, ``--dry-run`` and ``config check`` print."""

import pytest

from ssl_host.compose import compose
from ssl_host.config.resolve import resolve_sections
from ssl_host.preflight import config_warnings
from tests.conftest import as_ini, tiny

SWAV = {"method": {"name": "swav", "num_prototypes": 300}, "augmentation": {"local_size": 8}}


@pytest.mark.parametrize(
    "arguments", [("config", "check"), ("run", "--dry-run"), ("run", "--dry-run", "--json")]
)
def test_warnings_of_the_method_are_printed_before_a_run(arguments, ssl_host, tmp_path):
    (tmp_path / "c.ini").write_text(as_ini(tiny(**SWAV)), encoding="utf-8")
    done = ssl_host(*arguments, "c.ini")
    assert done.returncode == 0, done.stderr
    assert "warning" in done.stdout
    assert "num_prototypes = 300" in done.stdout


def warnings_of(catalog, **sections):
    config = resolve_sections(tiny(**sections), catalog)
    return config_warnings(config, compose(config).method)


@pytest.mark.parametrize(
    ("epochs", "warmup", "expected"),
    [
        (10, 5, None),
        (10, 5.5, "more than half of the run of 10 epochs"),
        (10, 10, "the whole run of 10 epochs"),
        (1, 10, "the whole run of 1 epoch;"),
        (0, 10, None),
    ],
)
def test_warmup_of_more_than_half_of_the_run_is_a_warning(epochs, warmup, expected, catalog):
    sections = {"run": {"epochs": epochs}, "scheduler": {"warmup_epochs": warmup}}
    warnings = warnings_of(catalog, **sections)
    assert len(warnings) == (expected is not None)
    assert all(f"[scheduler] warmup_epochs = {warmup} (python)" in text for text in warnings)
    assert all(str(expected) in text for text in warnings)


@pytest.mark.parametrize(
    ("every", "epochs", "patience", "expected"),
    [
        (2, 2, None, []),
        (3, 2, None, ["only after the last epoch"]),
        (3, 0, None, []),
        (2, 7, 2, []),  # measured after 2, 4, 6 and 7 epochs
        (2, 6, 2, ["patience"]),
        (3, 2, 1, ["only after the last epoch"]),
    ],
)
def test_evaluation_that_cannot_take_effect_is_a_warning(
    every, epochs, patience, expected, catalog
):
    run = {"epochs": epochs}
    if patience is not None:
        run |= {"stop_early": "rankme", "patience": patience}
    evaluate = {"every_epochs": every, "evaluators": ["rankme"]}
    warnings = warnings_of(catalog, run=run, evaluate=evaluate)
    assert len(warnings) == len(expected)
    assert all(word in text for word, text in zip(expected, warnings, strict=True))


def test_scheduler_without_warmup_has_no_warning(catalog):
    config = tiny(scheduler={"name": "constant"})
    del config["scheduler"]["warmup_epochs"]
    resolved = resolve_sections(config, catalog)
    assert config_warnings(resolved, compose(resolved).method) == []


@pytest.mark.parametrize(
    ("epochs", "frozen", "num_warnings"), [(2, 1, 0), (2, 1.5, 1), (1, 1, 1), (1, 0, 0), (0, 1, 0)]
)
@pytest.mark.parametrize("method", ["swav", "dino"])
def test_prototypes_that_are_never_trained_are_a_warning(
    method, epochs, frozen, num_warnings, catalog
):
    sections = {
        "run": {"epochs": epochs},
        "method": {"name": method, "freeze_prototypes_epochs": frozen},
        "augmentation": {"local_size": 8},
    }
    if method == "swav":
        sections["method"]["num_prototypes"] = 8
    warnings = warnings_of(catalog, **sections)
    assert len(warnings) == num_warnings
    assert all("[method] freeze_prototypes_epochs" in text for text in warnings)
