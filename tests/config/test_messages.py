"""What a value of the wrong type is told it should be."""

import re
from types import UnionType
from typing import Union, get_origin

import pytest

from ssl_host.config.resolve import resolve_sections
from ssl_host.config.schema import HOST_SECTIONS
from ssl_host.errors import ConfigError
from tests.conftest import tiny

UNIONS = [
    f"{section}.{key}"
    for section, schema in HOST_SECTIONS.items()
    for key, field in schema.model_fields.items()
    if get_origin(field.annotation) in (Union, UnionType)
]


def told(catalog, section, key, value):
    with pytest.raises(ConfigError) as caught:
        resolve_sections(tiny(**{section: {key: value}}), catalog)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("num_threads", "two", "should be a whole number or auto (CPU"),
        ("channels_last", "maybe", "should be true or false or auto (memory"),
        ("devices", "some", "should be a whole number or a list or auto (number"),
        ("num_threads", 99_999, "should be auto or from 1 to 1024 (CPU"),
    ],
)
def test_a_setting_of_several_types_names_them_in_plain_words(key, value, wanted, catalog):
    assert f"{key} = {value}: {wanted}" in told(catalog, "trainer", key, value)


@pytest.mark.parametrize("setting", UNIONS)
def test_no_message_speaks_of_types(setting, catalog):
    """Seen to fail: `should be Unionint, 'auto'`."""
    if setting.endswith(("extends", "init_from", "cache_dir")):
        pytest.skip("takes any text")
    section, key = setting.split(".")
    message = told(catalog, section, key, "no-such-thing")
    assert not re.search(r"Union|Literal|\bint\b|\bbool\b|\bNone\b|[\[\]]'", message), message
