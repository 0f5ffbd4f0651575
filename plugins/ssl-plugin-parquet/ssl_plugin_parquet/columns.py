"""Find the columns with images and labels, and the names of the classes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from ssl_host import DataError
from ssl_plugin_parquet.tables import Table

_IMAGE_NAMES = ("image", "img", "images", "jpg", "png")
_LABEL_NAMES = ("label", "labels")


def read_features(table: Table) -> Mapping[str, Any]:
    """Return the column descriptions stored by Hugging Face's ``datasets``, keyed by name.

    They are in the schema metadata, or in a file next to the files that ``save_to_disk`` wrote. The
    result is empty for files written by other programs.
    """
    texts = [(table.schema.metadata or {}).get(b"huggingface")]
    info_file = table.path.parent / "dataset_info.json"
    if info_file.is_file():
        texts.append(info_file.read_bytes())
    for text in filter(None, texts):
        try:
            info = json.loads(text)
            features = info.get("info", info)["features"]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # written by another program: columns are recognised by type
        if isinstance(features, dict):
            return {name: f for name, f in features.items() if isinstance(f, dict)}
    return {}


def find_image_column(table: Table, setting: str | None) -> str:
    """Return the name of the column with the images.

    Args:
        table: structure of the file.
        setting: column name from the configuration; None detects the column.

    Raises:
        DataError: when there is no such column, or it does not contain images.
    """
    schema, features = table.schema, read_features(table)
    if setting is None:
        images = [name for name in schema.names if features.get(name, {}).get("_type") == "Image"]
        suitable = [name for name in schema.names if _is_image_type(schema.field(name).type)]
        usual = [name for name in _IMAGE_NAMES if name in suitable]
        names: list[str] = [*(name for name in images if name in suitable), *usual, *suitable]
        if not names:
            raise DataError(
                f"[data] {table.path}: no column contains encoded images (bytes, or a struct with "
                f"bytes); the columns are {_list_columns(schema)}"
            )
        return names[0]
    expected = "encoded images must be bytes, or a struct with bytes"
    return _require_column("image_column", table, setting, _is_image_type, expected)


def find_label_column(table: Table, setting: str | None) -> str | None:
    """Return the name of the column with the labels, or None if there are no labels.

    Args:
        table: structure of the file.
        setting: column name from the configuration; None detects the column.

    Raises:
        DataError: when the configured column does not exist or does not contain labels.
    """
    schema, features = table.schema, read_features(table)
    expected = "labels must be text or numbers; set label_column, or labelled = false"
    if setting is None:
        classes = [n for n in schema.names if features.get(n, {}).get("_type") == "ClassLabel"]
        names = [*(name for name in _LABEL_NAMES if name in schema.names), *classes]
        if not names:
            return None
        suitable = (name for name in names if _is_label_type(schema.field(name).type))
        setting = next(suitable, names[0])
    return _require_column("label_column", table, setting, _is_label_type, expected)


def class_names(table: Table, column: str) -> list[str] | None:
    """Return the class names of a ``ClassLabel`` column, or None for other columns."""
    names = read_features(table).get(column, {}).get("names")
    return [str(name) for name in names] if isinstance(names, list) and names else None


def _require_column(
    key: str, table: Table, name: str, is_suitable: Callable[[Any], bool], expected: str
) -> str:
    """Return a configured column name, after checking that the column exists and is suitable.

    Args:
        key: name of the setting.
        table: structure of the file.
        name: name of the column.
        is_suitable: function that returns True for a suitable column type.
        expected: text for the message that says which types are suitable.

    Raises:
        DataError: when the column does not exist or is not suitable.
    """
    if table.schema.names.count(name) != 1:
        raise DataError(
            f"[data] {table.path}: {key} = {name}: no such column; choose one of "
            f"{_list_columns(table.schema)}"
        )
    column_type = table.schema.field(name).type
    if not is_suitable(column_type):
        raise DataError(f"[data] {table.path}: {key} = {name} has type {column_type}; {expected}")
    return name


def _list_columns(schema: Any) -> str:
    """Return the names and types of all columns as text for an error message."""
    return ", ".join(f"{field.name} ({str(field.type)[:40]})" for field in schema)


def _is_image_type(column_type: Any) -> bool:
    """Return True for bytes, and for a struct with a field ``bytes``."""
    if pa.types.is_struct(column_type):
        index = column_type.get_field_index("bytes")
        return index >= 0 and _is_image_type(column_type.field(index).type)
    checks = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(check(column_type) for check in checks)


def _is_label_type(column_type: Any) -> bool:
    """Return True for text, numbers and booleans, including dictionary columns of them."""
    if pa.types.is_dictionary(column_type):
        column_type = column_type.value_type
    types = pa.types
    numbers = (types.is_integer, types.is_floating, types.is_decimal, types.is_null)
    checks = (types.is_string, types.is_large_string, types.is_boolean, *numbers)
    return any(check(column_type) for check in checks)
