"""The section ``[suite]`` of a suite file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from ssl_host import Settings


class SuiteSettings(Settings):
    """Settings of the section ``[suite]``: which runs to make and how to show them."""

    name: str = Field("", max_length=200, description="name of its folder; default: the file's")
    dir: Path = Field(Path("runs"), description="folder that holds the suite's folder")
    methods: tuple[str, ...] = Field(
        (), description="methods to compare, and names of [method.NAME] sections"
    )
    preset: str | None = Field(
        None, description="preset of every method to start from: cifar10 for simclr/cifar10, ..."
    )
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="seeds of every combination")
    jobs: int = Field(1, ge=1, le=1024, description="runs at the same time")
    columns: tuple[str, ...] = Field(
        (),
        description="figures to show, separated by commas: NAME or NAME as TITLE; default: all",
    )

    @field_validator("methods", "seeds", mode="before")
    @classmethod
    def _split_words(cls, value: Any) -> Any:
        """Accept ``a, b``, ``a b`` and a single value as a list."""
        if isinstance(value, str):
            return tuple(word for word in re.split(r"[\s,]+", value) if word)
        return (value,) if isinstance(value, int) else value

    @field_validator("columns", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        """Accept ``a, b as Title`` as a list: titles may contain spaces."""
        if isinstance(value, str):
            return tuple(" ".join(item.split()) for item in value.split(",") if item.strip())
        return value

    @field_validator("name")
    @classmethod
    def _check_folder_name(cls, name: str) -> str:
        if name in (".", "..") or any(character in name for character in "/\\\0"):
            raise ValueError("is the name of a folder: no slashes, not '..'")
        return name

    @field_validator("methods", "seeds")
    @classmethod
    def _check_duplicates(cls, values: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"give each {str(info.field_name).removesuffix('s')} once")
        return values

    @field_validator("columns")
    @classmethod
    def _check_duplicate_columns(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        if len(_titles(columns)) < len(columns):
            raise ValueError("give each column once")
        return columns

    def titles(self) -> dict[str, str]:
        """Return the titles of the chosen columns, by figure; empty if none are chosen."""
        return _titles(self.columns)


def _titles(columns: tuple[str, ...]) -> dict[str, str]:
    pairs = (column.partition(" as ") for column in columns)
    return {name: title or name for name, _, title in pairs}
