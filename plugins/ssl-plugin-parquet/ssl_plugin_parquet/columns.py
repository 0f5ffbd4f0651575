"""Which columns hold images and labels, and what the classes are called."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from ssl_host import DataError
from ssl_plugin_parquet.tables import Table

_IMAGE_NAMES = ("image", "img", "images", "jpg", "png")
_LABEL_NAMES = ("label", "labels")


def features_of(table: Table) -> Mapping[str, Any]:
    """The features of Hugging Face's ``datasets``, by column; empty for any other file.

    They are in the schema's metadata, and beside the files of ``save_to_disk``.
    """
    texts = [(table.schema.metadata or {}).get(b"huggingface")]
    listing = table.path.parent / "dataset_info.json"
    if listing.is_file():
        texts.append(listing.read_bytes())
    for text in filter(None, texts):
        try:
            about = json.loads(text)
            found = about.get("info", about)["features"]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # another's, or damaged: columns are then told by their types
        if isinstance(found, dict):
            return {name: f for name, f in found.items() if isinstance(f, dict)}
    return {}


def image_column(table: Table, named: str | None) -> str:
    """The column of the images.

    Raises:
        DataError: when there is none, or it holds something else.
    """
    schema, features = table.schema, features_of(table)
    if named is None:
        images = [name for name in schema.names if features.get(name, {}).get("_type") == "Image"]
        fit = [name for name in schema.names if _holds_images(schema.field(name).type)]
        usual = [name for name in _IMAGE_NAMES if name in fit]
        chosen: list[str] = [*(name for name in images if name in fit), *usual, *fit]
        if not chosen:
            raise DataError(
                f"[data] {table.path}: no column holds encoded images, bytes or a struct with "
                f"bytes; there are {_listed(schema)}"
            )
        return chosen[0]
    wanted = "encoded images are bytes, or a struct with bytes"
    return _checked("image_column", table, named, _holds_images, wanted)


def label_column(table: Table, named: str | None) -> str | None:
    """The column of the labels, or None.

    Raises:
        DataError: when the one that is named is not there, or holds no labels.
    """
    schema, features = table.schema, features_of(table)
    if named is None:
        classes = [n for n in schema.names if features.get(n, {}).get("_type") == "ClassLabel"]
        chosen = [*(name for name in _LABEL_NAMES if name in schema.names), *classes]
        return next((name for name in chosen if _holds_labels(schema.field(name).type)), None)
    return _checked("label_column", table, named, _holds_labels, "labels are text or whole numbers")


def class_names(table: Table, column: str) -> list[str] | None:
    """The names of a ``ClassLabel``, or None."""
    names = features_of(table).get(column, {}).get("names")
    return [str(name) for name in names] if isinstance(names, list) and names else None


def _checked(
    setting: str, table: Table, named: str, holds: Callable[[Any], bool], wanted: str
) -> str:
    """The column that a setting names, once it is known to be there and to hold what it should."""
    if table.schema.names.count(named) != 1:
        raise DataError(
            f"[data] {table.path}: {setting} = {named}: no such column; there are "
            f"{_listed(table.schema)}"
        )
    kind = table.schema.field(named).type
    if not holds(kind):
        raise DataError(f"[data] {table.path}: {setting} = {named} is of type {kind}; {wanted}")
    return named


def _listed(schema: Any) -> str:
    return ", ".join(f"{field.name} ({str(field.type)[:40]})" for field in schema)


def _holds_images(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and _holds_images(kind.field(at).type)
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def _holds_labels(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(text or pa.types.is_integer(kind) or pa.types.is_boolean(kind))
