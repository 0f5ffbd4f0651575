"""Changed copies of a resolved configuration."""

import pytest

from ssl_host.config.resolve import resolve_sections
from ssl_host.errors import ConfigError
from tests.conftest import tiny


@pytest.fixture(scope="module")
def config(catalog):
    return resolve_sections(tiny(), catalog)


def test_with_value_of_a_host_section_changes_settings_and_entry(config):
    changed = config.with_value("trainer", "precision", "32-true", "run folder")
    assert changed.trainer.precision == "32-true"
    assert changed.entries["trainer", "precision"].text == "32-true"
    assert changed.entries["trainer", "precision"].origin.layer == "run folder"
    assert config.trainer.precision == "auto"
    assert list(changed.entries) == list(config.entries)


def test_with_value_of_a_component_section_changes_its_settings(config):
    changed = config.with_value("optimizer", "lr", 0.25, "option")
    assert changed.components["optimizer"].settings.lr == 0.25
    assert "lr = 0.25" in changed.to_ini()
    assert config.components["optimizer"].settings.lr == 0.05


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("trainer", "precision", "fp8", "run folder: [trainer] precision = fp8: should be"),
        ("run", "epochs", -1, "run folder: [run] epochs = -1: should be greater than"),
        ("run", "epoch", 3, "[run] epoch: unknown key; did you mean 'epochs'?"),
        ("optimizer", "lr", "fast", "run folder: [optimizer] lr = fast: should be a number"),
        ("optimizer", "name", "lars", "[optimizer] name: unknown key"),
        ("optimiser", "lr", 0.1, "[optimiser] unknown section; did you mean 'optimizer'?"),
    ],
)
def test_with_value_that_is_not_valid_raises_an_error(section, key, value, message, config):
    with pytest.raises(ConfigError) as caught:
        config.with_value(section, key, value, "run folder")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "precision"),
    [
        (("16", '"16"', "16@int", "16@str", "fp16", "float16", "16-mixed", "FP16"), "16-mixed"),
        (("bf16", '"bf16"', "BF16-Mixed", "bfloat16", "bf16-mixed"), "bf16-mixed"),
        (("32", '"32"', "fp32", "float32", "32-true"), "32-true"),
        (("half",), "16-mixed"),
        (("64", '"64"', "fp64", "float64", "double", "64-true"), "64-true"),
    ],
)
def test_every_usual_spelling_of_a_precision_is_accepted(texts, precision, catalog):
    for text in texts:
        config = resolve_sections(tiny(), catalog, [f"trainer.precision={text}"])
        assert config.trainer.precision == precision
        assert config.entries["trainer", "precision"].value == precision
        assert f"precision = {precision}\n" in config.to_ini()


@pytest.mark.parametrize(
    ("number", "precision"), [(16, "16-mixed"), (32, "32-true"), (64, "64-true")]
)
def test_precision_may_be_a_number_in_python(number, precision, catalog):
    config = resolve_sections(tiny(trainer={"precision": number}), catalog)
    assert config.trainer.precision == precision
    changed = config.with_value("trainer", "precision", number, "run folder")
    assert changed.entries["trainer", "precision"].text == precision


@pytest.mark.parametrize("text", ["16-true", "bf16-true", "8", "True", "1.6", "transformer-engine"])
def test_precision_that_is_not_available_is_refused(text, catalog):
    with pytest.raises(ConfigError, match=r"precision = .*'16-mixed', 'bf16-mixed' or '64-true'"):
        resolve_sections(tiny(), catalog, [f"trainer.precision={text}"])


def test_run_that_trains_nothing_has_a_note(catalog, tmp_path):
    options = ["run.epochs=0"]
    notes = resolve_sections(tiny(), catalog, options).notes
    assert [note for note in notes if "-o run.epochs=0: nothing is trained" in note]
    start = f"run.init_from={tmp_path}"
    assert resolve_sections(tiny(), catalog, [*options, start]).notes == ()
    assert resolve_sections(tiny(), catalog).notes == ()
