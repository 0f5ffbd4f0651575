"""Settings of the section ``[suite]`` of a suite file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import Field, ValidationInfo, field_validator

from ssl_host import Settings


class SuiteSettings(Settings):
    """Settings of the section ``[suite]``: what to run, and which columns to show."""

    name: str = Field(
        "",
        max_length=200,
        description="name of the suite and of its folder; default: the name of the suite file",
    )
    dir: Path = Field(Path("runs"), description="folder in which the suite's folder is created")
    methods: tuple[str, ...] = Field(
        (), description="methods to compare: names of methods, or NAME for a section [method.NAME]"
    )
    preset: str | None = Field(
        None,
        description="preset for every method; for simclr, cifar10 means the preset simclr/cifar10",
    )
    seeds: tuple[int, ...] = Field(
        (0,), min_length=1, description="random seeds; every combination is run once per seed"
    )
    jobs: int = Field(1, ge=1, le=1024, description="number of runs to execute at the same time")
    columns: tuple[str, ...] = Field(
        (),
        description="metrics to show, separated by commas: NAME or NAME as TITLE; default: all",
    )

    @field_validator("methods", "seeds", mode="before")
    @classmethod
    def _split_words(cls, value: Any) -> Any:
        """Convert text such as ``a, b`` or ``a b``, or a single number, to a list."""
        items = (value,) if isinstance(value, str | int) else value
        if not _is_words(items):
            return items
        return tuple(word for item in items for word in re.split(r"[\s,]+", item) if word)

    @field_validator("columns", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        """Return the parts of text such as ``a, b as Title``; titles may contain spaces."""
        items = value.split(",") if isinstance(value, str) else value
        if not _is_words(items):
            return items
        return tuple(" ".join(item.split()) for item in items if item.strip())

    @field_validator("name")
    @classmethod
    def _check_folder_name(cls, name: str) -> str:
        """Return the name; raise ValueError if it is not valid as the name of a folder."""
        if name in (".", "..") or any(character in name for character in "/\\\0"):
            raise ValueError("should be a folder name without slashes, and not '.' or '..'")
        return name

    @field_validator("methods", "seeds")
    @classmethod
    def _check_duplicates(cls, values: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        """Return the values; raise ValueError if one of them occurs twice."""
        if len(set(values)) < len(values):
            raise ValueError(f"should contain each {str(info.field_name).removesuffix('s')} once")
        return values

    @field_validator("columns")
    @classmethod
    def _check_duplicate_columns(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Return the columns; raise ValueError if two of them have the same metric."""
        if len(_titles(columns)) < len(columns):
            raise ValueError("should contain each metric once")
        return columns

    def titles(self) -> dict[str, str]:
        """Return the column titles, keyed by metric name; an empty dict means all columns."""
        return _titles(self.columns)


def _is_words(value: Any) -> TypeGuard[Sequence[str]]:
    """Return True for a list of texts, which is how the host passes text with commas."""
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _titles(columns: tuple[str, ...]) -> dict[str, str]:
    """Return the titles in columns such as ``NAME as TITLE``, keyed by metric name."""
    pairs = (column.partition(" as ") for column in columns)
    return {name: title or name for name, _, title in pairs}
