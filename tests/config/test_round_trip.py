"""A configuration that is written to ``config.ini`` reads back equal, whatever its values are.

A test run tries sixty; set SSL_HOST_FUZZ=2000 in the environment to try more.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.fields import parse_field
from ssl_host.config.layers import ConfigLayer
from ssl_host.config.resolve import resolve_file, resolve_layers, resolve_sections
from ssl_host.config.values import ConfigOrigin, ConfigValue, format_value
from ssl_host.errors import ConfigError
from tests.conftest import as_ini, tiny

COUNT = int(os.environ.get("SSL_HOST_FUZZ", "60"))

PLUGIN = """\
from enum import Enum
from pathlib import Path
from typing import Any, Literal
from pydantic import Field, field_validator
from ssl_host import Logger, Settings, hookimpl

ssl_host_api = 1

class Colour(Enum):
    RED = "red"
    NONE = "none"

def setting(default=None):
    return Field(default, description="a setting")

class EveryType(Logger):
    class Config(Settings):
        flag: bool = setting(False)
        flag_or_none: bool | None = setting(True)
        flag_or_auto: bool | Literal["auto"] = setting("auto")
        count: int = setting(0)
        count_or_auto: int | list[int] | Literal["auto"] = setting(1)
        number: float = setting(0.0)
        number_or_none: float | None = setting(1.0)
        text: str = setting("")
        text_or_none: str | None = setting("a default")
        count_or_text: int | str = setting(0)
        anything: bool | int | float | str | list[int] | None = setting("auto")
        path: Path = setting(Path("/"))
        path_or_none: Path | None = setting(Path("/a"))
        paths: list[Path] = setting([])
        texts: list[str] = setting([])
        numbers: tuple[float, ...] = setting(())
        pair: tuple[int, str] = setting((0, ""))
        table: dict[str, str | int | None] = setting({})
        nested: dict[str, Any] = setting({})
        choice: Literal["none", "auto", "5", "true", 3] = setting("auto")
        colour: Colour = setting(Colour.RED)

class Lossy(Logger):
    class Config(Settings):
        doubled: int = setting(0)

        @field_validator("doubled")
        @classmethod
        def _double(cls, value):
            return 2 * value

@hookimpl
def register_loggers(register):
    register("every_type", "ssl_plugin_types:EveryType", "a logger")
    register("lossy", "ssl_plugin_types:Lossy", "a logger")
"""

TRICKY = [
    *("exp #2", "exp ;2", "#1", ";", " a ", "a ", "'a'", '"a"', "'", '"', "it's #1", "\\", "\\n"),
    *("none", "None", "", "true", "5", "1e3", "[1]", "[", "(", "{}", "5@int", "a@str", "~", "~a"),
    *(
        "${run.name}",
        "$${",
        "${",
        "${env:HOME}",
        "$",
        "a = b",
        "[run]",
        "é",
        "\u3000",
        "\x85",
        "\n",
    ),
    *("a\nb", "a\r\nb", "\t", "\x00", "\ufeff", "\u2028", "😀", "'a', 'b'", "a: b", "%(x)s"),
]
printable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
text = st.one_of(st.sampled_from(TRICKY), printable, st.text(max_size=12))
file_name = text.filter(lambda t: t not in ("", ".", "..") and not set("/\\\0") & set(t))
path = file_name.map(lambda name: f"/projects/{name}/data")
whole = st.integers(-(10**20), 10**20)
number = st.floats(allow_nan=False, allow_infinity=False)
scalar = st.one_of(st.none(), st.booleans(), whole, number, text)
EVERY_TYPE = {
    "flag": st.booleans(),
    "flag_or_none": st.none() | st.booleans(),
    "flag_or_auto": st.just("auto") | st.booleans(),
    "count": whole,
    "count_or_auto": st.just("auto") | whole | st.lists(whole),
    "number": number,
    "number_or_none": st.none() | number,
    "text": text,
    "text_or_none": st.none() | text,
    "count_or_text": whole | text,
    "anything": scalar | st.lists(whole),
    "path": path,
    "path_or_none": st.none() | path,
    "paths": st.lists(path, max_size=3),
    "texts": st.lists(text, max_size=3),
    "numbers": st.lists(number, max_size=3),
    "pair": st.tuples(whole, text),
    "table": st.dictionaries(text, st.none() | whole | text, max_size=3),
    "nested": st.dictionaries(
        text,
        st.recursive(scalar, lambda inner: st.lists(inner, max_size=3), max_leaves=5),
        max_size=3,
    ),
    "choice": st.sampled_from(["none", "auto", "5", "true", 3]),
    "colour": st.sampled_from(["red", "none"]),
}
HOST = {
    ("run", "name"): file_name,
    ("run", "dir"): path,
    ("run", "init_from"): st.none() | path,
    ("loader", "cache_dir"): st.none() | path,
    ("data", "file"): path,
    ("data", "path_column"): text.filter(bool),
    ("data", "label_column"): st.none() | text,
}
configs = st.fixed_dictionaries(
    {},
    optional={**{("logger.types", key): value for key, value in EVERY_TYPE.items()}, **HOST},
)
ALWAYS = {
    ("method", "name"): "simclr",
    ("data", "name"): "csv",
    ("data", "file"): "/images.csv",
    ("logger.types", "name"): "every_type",
}


def resolve_python(values: dict[tuple[str, str], Any], catalog: Catalog):
    origin = ConfigOrigin("python")
    layer = ConfigLayer("python", {key: ConfigValue(v, origin) for key, v in values.items()})
    return resolve_layers([layer], catalog, "trial")


def read_back(config, file, catalog):
    file.write_text(config.to_ini(), encoding="utf-8")
    return resolve_file(file, (), catalog)


def with_types(value):
    """Return a value with the types of its parts, because 1 == True == 1.0."""
    if isinstance(value, dict):
        return {key: with_types(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [with_types(item) for item in value]
    return type(value), value


def test_every_configuration_reads_back_equal(install, tmp_path):
    install("ssl-plugin-types", PLUGIN)
    catalog = Catalog()
    file = tmp_path / "config.ini"

    @given(values=configs)
    @settings(
        max_examples=COUNT,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    def check(values):
        config = resolve_python({**ALWAYS, **values}, catalog)
        again = read_back(config, file, catalog)
        for section, settings_ in config.values().items():
            for key, value in settings_.items():
                if (section, key) != ("run", "extends"):
                    found = again.values()[section][key]
                    assert with_types(found) == with_types(value), (section, key)
        assert again.to_ini() == config.to_ini()

    check()


@given(value=text.filter(bool))
@settings(max_examples=COUNT, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_text_of_an_option_reads_back_equal(value, catalog):
    sections = {"method": {"name": "simclr"}, "data": {"name": "csv", "file": "x.csv"}}
    option = f"data.path_column={format_value(value, str)}"
    config = resolve_sections(sections, catalog, [option])
    assert config.components["data"].settings.path_column == value


@pytest.mark.parametrize("name", ["exp #2", "exp ;2", " exp ", "it's", '"quoted"', "#", "a${b}"])
def test_relative_path_in_a_folder_with_any_name_stays_in_it(name, tmp_path, catalog):
    folder = tmp_path / name
    folder.mkdir()
    file = folder / "c.ini"
    file.write_text(as_ini(tiny(run={"init_from": "weights #1"})), encoding="utf-8")
    assert resolve_file(file, (), catalog).run.init_from == folder / "weights"
    file.write_text(as_ini(tiny(run={"init_from": '"weights #1"'})), encoding="utf-8")
    config = resolve_file(file, (), catalog)
    assert config.run.init_from == folder / "weights #1"
    again = read_back(config, tmp_path / "config.ini", catalog)
    assert again.run.init_from == folder / "weights #1"
    assert again.run.dir == config.run.dir


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('"exp #2"', "exp #2"),
        ('"exp #2" # a comment', "exp #2"),
        ("'exp ;2'  ; a comment", "exp ;2"),
        ("'C:\\new'", "C:\\new"),
        (r'"a\tb\\ \u00e9 \""', 'a\tb\\ é "'),
        ("it's # a comment", "it's"),
        ("exp#2", "exp#2"),
        ("$${x}", "${x}"),
        ('"5@int"', "5@int"),
        ('"${run.seed} #1"', "3 #1"),
        ("'${run.seed}'", "3"),
    ],
)
def test_quoted_text_is_read_without_its_quotes(line, expected, tmp_path, catalog):
    file = tmp_path / "c.ini"
    text = f"[run]\nseed = 3\n[method]\nname = simclr\n[data]\nname = csv\npath_column = {line}\n"
    file.write_text(f"{text}file = x.csv\n", encoding="utf-8")
    config = resolve_file(file, (), catalog)
    assert config.components["data"].settings.path_column == expected


def test_comments_in_a_list_do_not_cut_its_quoted_items(tmp_path, install):
    install("ssl-plugin-types", PLUGIN)
    file = tmp_path / "c.ini"
    lines = '[logger.every_type]\ntexts = ["a #1",  # first\n  \'b ;2\',\n  # all\n  "c"] ; end\n'
    file.write_text(as_ini(tiny()) + lines, encoding="utf-8")
    config = resolve_file(file, (), Catalog())
    assert config.components["logger.every_type"].settings.texts == ["a #1", "b ;2", "c"]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ('"exp', "has no closing quote"),
        ('"a" b', "has text after its closing quote"),
        (r'"C:\Users"', "backslash"),
    ],
)
def test_incomplete_quotes_are_refused_with_the_line(line, part, tmp_path, catalog):
    file = tmp_path / "c.ini"
    file.write_text(f"[method]\nname = simclr\n[run]\nname = {line}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        resolve_file(file, (), catalog)
    assert f"{file}:4: [run] name: " in str(caught.value)
    assert part in str(caught.value)
    with pytest.raises(ConfigError, match=part):
        resolve_sections(tiny(), catalog, [f"run.name={line}"])


@pytest.mark.parametrize(("line", "part"), [("", "empty"), ("~no-such-user/x", "home folder")])
def test_path_that_cannot_be_resolved_is_refused(line, part, tmp_path, catalog):
    file = tmp_path / "c.ini"
    file.write_text(f"[method]\nname = simclr\n[run]\ndir = {line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=part) as caught:
        resolve_file(file, (), catalog)
    assert f"{file}:4: [run] dir" in str(caught.value)


def test_none_that_replaces_a_recipe_or_default_is_written(tmp_path, install):
    install("ssl-plugin-types", PLUGIN)
    file = tmp_path / "c.ini"
    file.write_text(as_ini(tiny()) + "[logger.every_type]\ntext_or_none = none\n", encoding="utf-8")
    again = read_back(resolve_file(file, (), Catalog()), tmp_path / "config.ini", Catalog())
    assert again.components["logger.every_type"].settings.text_or_none is None


def test_path_relative_to_a_reference_to_the_environment_keeps_its_folder(
    tmp_path, catalog, monkeypatch
):
    monkeypatch.setenv("SET", "birds #1")
    folder = tmp_path / "exp #2"
    folder.mkdir()
    file = folder / "c.ini"
    file.write_text(as_ini(tiny(run={"init_from": "w/${env:SET}"})), encoding="utf-8")
    config = resolve_file(file, (), catalog)
    assert config.run.init_from == folder / "w" / "birds #1"
    assert "${env:SET}" in config.to_ini()
    assert read_back(config, tmp_path / "config.ini", catalog).run.init_from == config.run.init_from


def test_value_that_does_not_read_back_equal_is_refused(tmp_path, install):
    install("ssl-plugin-types", PLUGIN)
    file = tmp_path / "c.ini"
    file.write_text(as_ini(tiny()) + "[logger.lossy]\ndoubled = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        resolve_file(file, (), Catalog())
    line = file.read_text().splitlines().index("doubled = 3") + 1
    assert f"{file}:{line}: [logger.lossy] doubled = 6 " in str(caught.value)
    assert "12" in str(caught.value)


@pytest.mark.parametrize("section", ["evaluator.a#1", "evaluator.a]b", "evaluator. a"])
def test_section_that_a_file_cannot_name_is_refused(section, catalog):
    with pytest.raises(ConfigError, match="name"):
        resolve_sections({**tiny(), section: {"name": "knn"}}, catalog)


def test_path_that_is_cut_at_a_comment_but_exists_is_refused(tmp_path, catalog):
    (tmp_path / "exp #2").mkdir()
    file = tmp_path / "c.ini"
    text = "[method]\nname = simclr\n[run]\ninit_from = exp #2\n"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"c\.ini:4: \[run\] init_from: '#2' .*quotes"):
        resolve_file(file, (), catalog)
    file.write_text(text.replace("#2", "# 2"), encoding="utf-8")
    assert resolve_file(file, (), catalog).run.init_from == tmp_path / "exp"


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("data #2/train-{000..001}.tar", "data #2 exists; put the path in quotes"),
        ("data #2/not/yet", "data #2 exists"),
        ("data ;3/runs", ".*data does not exist; put the path in quotes, or add a space after ;"),
        ("data  #3/runs", ".*data does not exist; put the path in quotes"),
        ("data #2@str", "data #2 exists"),
        ("data #3@str", "'#3@str' is read as a comment; put the path in quotes"),
    ],
)
def test_path_that_a_comment_continues_is_refused(line, part, tmp_path, catalog):
    (tmp_path / "data #2").mkdir()
    file = tmp_path / "c.ini"
    file.write_text(f"[method]\nname = simclr\n[run]\ndir = {line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=part):
        resolve_file(file, (), catalog)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("data  # see /data/x", "data"),
        ("data #runs", "data"),
        ("data #n/a", "data"),
        ("data #https://example.org/x", "data"),
        ("data@str #2/x", "data"),
        ('"data #2" #2/x', "data #2"),
        ('"data #2"@str', "data #2"),
        ("'data #2/x'@str  # runs", "data #2/x"),
        ("${run.name} # data/x", "data"),
    ],
)
def test_path_is_read_without_its_comment_quotes_and_type(line, expected, tmp_path, catalog):
    (tmp_path / "data #2").mkdir()
    file = tmp_path / "c.ini"
    text = f"[method]\nname = simclr\n[run]\nname = data\ndir = {line}\n"
    file.write_text(text, encoding="utf-8")
    assert resolve_file(file, (), catalog).run.dir == tmp_path / expected


def test_comment_behind_a_reference_to_a_path_is_checked(tmp_path, catalog):
    (tmp_path / "data #2").mkdir()
    file = tmp_path / "c.ini"
    text = f"[method]\nname = simclr\n[run]\nname = {tmp_path}/data\ndir = ${{run.name}} #2\n"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="data #2 exists"):
        resolve_file(file, (), catalog)


def test_name_that_is_not_unicode_is_refused(catalog):
    with pytest.raises(ConfigError, match=r"-o run.dir=.*not valid Unicode"):
        resolve_sections(tiny(), catalog, ["run.dir=/projects/\udcff"])


def test_paths_of_a_list_are_relative_to_the_file():
    origin = ConfigOrigin("file", "/projects/a/c.ini", 3)
    value = ConfigValue('["x", "/y"]', origin, is_text=True)
    assert parse_field(value, list[Path]) == ["/projects/a/x", "/y"]
