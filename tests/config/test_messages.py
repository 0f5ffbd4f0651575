"""Messages about values of the wrong type or unknown settings."""

import re
from types import UnionType
from typing import Union, get_origin

import pytest
from pydantic import Field, model_validator

from ssl_host.config.messages import validate_settings
from ssl_host.config.resolve import resolve_sections
from ssl_host.config.schema import HOST_SECTIONS
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError
from tests.conftest import tiny

UNIONS = [
    f"{section}.{key}"
    for section, schema in HOST_SECTIONS.items()
    for key, field in schema.model_fields.items()
    if get_origin(field.annotation) in (Union, UnionType)
]


def message_for(catalog, section, key, value):
    with pytest.raises(ConfigError) as caught:
        resolve_sections(tiny(**{section: {key: value}}), catalog)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("num_threads", "two", "should be a whole number or auto ("),
        ("channels_last", "maybe", "should be true or false or auto ("),
        ("devices", "some", "should be a whole number or a list or auto ("),
        ("num_threads", 99_999, "should be auto or a number from 1 to 1024 ("),
    ],
)
def test_setting_of_several_types_names_them_in_plain_words(key, value, expected, catalog):
    assert f"{key} = {value}: {expected}" in message_for(catalog, "trainer", key, value)


@pytest.mark.parametrize("setting", UNIONS)
def test_message_for_a_union_contains_no_python_types(setting, catalog):
    paths = ("extends", "init_from", "continue_from", "cache_dir")
    if setting.endswith((*paths, "stop_early", "best")):
        pytest.skip("accepts any text")
    section, key = setting.split(".")
    message = message_for(catalog, section, key, "no-such-thing")
    assert not re.search(r"Union|Literal|\bint\b|\bbool\b|\bNone\b|[\[\]]'", message), message


class Example(Settings):
    size: int = Field(description="number of rows")
    rates: tuple[float, ...] = Field((0.1,), description="learning rates")

    @model_validator(mode="after")
    def _size_is_even(self):
        if self.size % 2:
            raise ValueError("size should be even")
        return self


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "loss x: size: is required (number of rows)"),
        ({"size": "a"}, "loss x: size = a: should be a whole number (number of rows)"),
        ({"size": 2, "sise": 3}, "loss x: sise: unknown key; did you mean 'size'?"),
        ({"size": 2, "zzz": 3}, "loss x: zzz: unknown key; known keys: size, rates"),
        ({"size": 3}, "loss x: size should be even"),
        (
            {"size": 2, "rates": [0.1, "b"]},
            "loss x: rates = [0.1, 'b']: item 2 should be a number (learning rates)",
        ),
    ],
)
def test_invalid_python_values_are_reported_by_setting(values, expected):
    with pytest.raises(ConfigError) as caught:
        validate_settings(Example, values, "loss x")
    assert str(caught.value) == expected


def test_several_invalid_values_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        validate_settings(Example, {"size": "a", "rates": 1, "zzz": 2}, "loss x", "loss")
    assert len(caught.value.problems) == 3
    assert all(problem.message.startswith("[loss] ") for problem in caught.value.problems)
