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
