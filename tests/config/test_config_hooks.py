"""Hooks that read configurations in another dialect or of another kind."""

import pytest

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_file
from ssl_host.errors import ConfigError

DIALECT = """
from ssl_host import ConfigError, ConfigLayer, ConfigOrigin, ConfigValue, Problem, hookimpl

@hookimpl
def read_config(path, text, catalog):
    if not text.startswith("method:"):
        return None
    name = text.removeprefix("method:").strip()
    if name not in catalog.names("method"):
        raise ConfigError([Problem(f"{path}:1", f"no method {name}")])
    origin = ConfigOrigin("file", str(path), 1)
    values = {("method", "name"): ConfigValue(name, origin, is_text=True)}
    return ConfigLayer("file", values, file=str(path), notes=["one note"])
"""


@pytest.fixture
def catalog(install):
    install("ssl-plugin-dialect", DIALECT)
    return Catalog()


def test_file_in_a_dialect_is_read_by_its_plugin(catalog, tmp_path):
    file = tmp_path / "run.txt"
    file.write_text("method: simclr\n", encoding="utf-8")
    config = resolve_file(file, ("run.epochs=3",), catalog)
    assert config.components["method"].name == "simclr"
    assert (config.run.name, config.run.epochs) == ("run", 3)
    assert config.notes == ("one note",)
    assert str(config.entries["method", "name"].origin) == f"{file}:1"


def test_other_file_is_read_as_ini(catalog, tmp_path):
    file = tmp_path / "run.ini"
    file.write_text("[method]\nname = byol\n", encoding="utf-8")
    assert resolve_file(file, (), catalog).components["method"].name == "byol"


def test_error_of_the_dialect_is_reported_with_its_line(catalog, tmp_path):
    file = tmp_path / "run.txt"
    file.write_text("method: nothing\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        resolve_file(file, (), catalog)
    assert str(caught.value) == f"{file}:1: no method nothing"
