"""A suite: one INI file that stands for many runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.discovery import did_you_mean
from ssl_host.config.ini import read_config_text
from ssl_host.config.layers import ConfigLayer, option_layer, read_ini_layer
from ssl_host.config.messages import validation_problems
from ssl_host.config.resolve import resolve_layers
from ssl_host.config.run_config import RunConfig
from ssl_host.config.schema import SINGLE_KINDS, folder_name
from ssl_host.config.values import (
    ConfigOrigin,
    ConfigValue,
    Key,
    LiteralError,
    absolute_path,
    parse_value,
)
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError, Problem

FIGURES = {
    "epochs": "epochs",
    "online.top1": "online",
    "linear.top1": "linear top-1",
    "linear.top5": "linear top-5",
    "knn.top1": "kNN",
    "few_label.10.top1": "10 labels",
    "rankme": "RankMe",
    "throughput.images_per_s": "images/s",
    "wall_time_s": "seconds",
}
"""The columns of a suite's table, by metric."""


PUBLISHED = (*(name for name in FIGURES if ".top" in name), "source")
"""What a ``[published.METHOD]`` section may give."""


OF_EACH_CELL = {("run", "seed"): "seeds", ("run", "name"): "name", ("run", "dir"): "dir"}
"""Settings that every cell has of its own, with the suite's that decide them."""


class SuiteSettings(Settings):
    """``[suite]``: which runs there are."""

    name: str = Field("", max_length=200, description="name of its folder; default: the file's")
    dir: Path = Field(Path("runs"), description="folder that holds the suite's folder")
    methods: tuple[str, ...] = Field(
        (), description="methods to compare, and names of [method.NAME] sections"
    )
    preset: str | None = Field(
        None, description="preset of every method to start from: cifar10 for simclr/cifar10, ..."
    )
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="seeds of every cell")
    jobs: int = Field(1, ge=1, le=1024, description="runs at the same time")

    @field_validator("methods", "seeds", mode="before")
    @classmethod
    def _one_is_a_list_too(cls, given: Any) -> Any:
        if isinstance(given, str):
            return tuple(part for part in re.split(r"[\s,]+", given) if part)
        return (given,) if isinstance(given, int) else given

    @field_validator("name")
    @classmethod
    def _name_is_a_folder_name(cls, name: str) -> str:
        return folder_name(name) if name else name

    @field_validator("methods", "seeds")
    @classmethod
    def _each_is_another(cls, given: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        if len(set(given)) < len(given):
            raise ValueError(f"each {str(info.field_name).removesuffix('s')} once")
        return given


@dataclass(frozen=True)
class Cell:
    """One run of a suite.

    Attributes:
        choice: what was chosen on each axis of the grid, the method first.
        config: the whole configuration, checked.
    """

    name: str
    choice: Mapping[str, str]
    seed: int
    config: RunConfig


@dataclass(frozen=True)
class Suite:
    """All cells of a suite file.

    Attributes:
        folder: where their run folders are, and the table.
        published: figures from elsewhere, by the method they are for.
    """

    name: str
    folder: Path
    cells: tuple[Cell, ...]
    jobs: int
    published: Mapping[str, Mapping[str, Any]]


def is_suite(path: Path) -> bool:
    """Whether a file stands for many runs: it has a section ``[suite]``."""
    return bool(re.search(r"(?m)^\[suite\]", read_config_text(path)))


def read_suite(path: Path, options: Sequence[str], catalog: Catalog) -> Suite:
    """Read a suite file and check every cell of it.

    ``[suite]`` says which methods, preset and seeds. A kind of which a run has one becomes an
    axis of the grid where it is written with instances: ``[backbone.small]`` and
    ``[backbone.large]`` run every method with both. ``[published.METHOD]`` holds figures to
    show beside. Every other section is laid over all cells.

    Raises:
        ConfigError: with the problems of all cells, each told once.
    """
    whole = [read_ini_layer(path, "suite"), option_layer(options)]
    settings = _settings(whole, path)
    reader = _Reader(whole, settings, path, catalog)
    folder = settings.dir / (settings.name or path.stem)
    cells: list[Cell] = []
    problems: list[Problem] = []
    taken: dict[str, Mapping[str, str]] = {}
    for choice, seed in itertools.product(reader.choices(), settings.seeds):
        name = "-".join([*choice.values(), f"seed{seed}"])
        if name in taken:
            text = f"{_told(taken[name])} and {_told(choice)} would share the folder {name}"
            problems.append(Problem(str(path), f"{text}; give one of them another name"))
            continue
        taken[name] = choice
        try:
            config = resolve_layers(reader.layers(choice, seed, name, folder), catalog, name)
        except ConfigError as error:
            problems += error.problems
            continue
        cells.append(Cell(name, choice, seed, config))
    published, wrong = reader.published()
    problems += [*wrong, *reader.without_effect()]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return Suite(folder.name, folder, tuple(cells), settings.jobs, published)


def _told(choice: Mapping[str, str]) -> str:
    return " with ".join(f"[{kind}.{instance}]" for kind, instance in choice.items())


def _settings(layers: Sequence[ConfigLayer], path: Path) -> SuiteSettings:
    given: dict[Key, ConfigValue] = {}
    for layer in layers:
        given |= {("suite", key): value for key, value in layer.section("suite").items()}
    raw: dict[str, Any] = {}
    problems: list[Problem] = []
    for (_, key), value in given.items():
        field = SuiteSettings.model_fields.get(key)
        try:
            if field is None:
                raise LiteralError(f"unknown key{did_you_mean(key, SuiteSettings.model_fields)}")
            raw[key] = parse_value(value.raw, field.annotation)
        except LiteralError as error:
            problems.append(Problem(str(value.origin), f"[suite] {key}: {error}"))
    try:
        settings = SuiteSettings.model_validate(raw)
    except ValidationError as error:
        values = {key: value for (_, key), value in given.items()}
        problems += validation_problems(error, SuiteSettings, str(path), "suite", values).values()
    if problems:
        raise ConfigError(problems)
    beside = given["suite", "dir"].origin if ("suite", "dir") in given else None
    folder = Path(absolute_path(str(settings.dir), beside or ConfigOrigin("default")))
    return settings.model_copy(update={"dir": folder})


class _Reader:
    """What a suite's layers hold for one cell."""

    def __init__(
        self, layers: Sequence[ConfigLayer], settings: SuiteSettings, path: Path, catalog: Catalog
    ) -> None:
        self.whole = layers
        self.settings = settings
        self.path = path
        self.catalog = catalog

    def choices(self) -> list[Mapping[str, str]]:
        """Every combination of the axes."""
        axes: dict[str, list[str]] = {"method": list(self.settings.methods)}
        for layer in self.whole:
            for section in layer.sections():
                kind, _, instance = section.partition(".")
                if kind in SINGLE_KINDS and instance:
                    names = axes.setdefault(kind, [])
                    names += [instance] if instance not in names else []
        if not axes["method"]:
            where = str(self.path)
            raise ConfigError(
                [Problem(where, "[suite] methods: name at least one, such as simclr, byol")]
            )
        combined = itertools.product(*axes.values())
        return [dict(zip(axes, values, strict=True)) for values in combined]

    def layers(
        self, choice: Mapping[str, str], seed: int, name: str, folder: Path
    ) -> list[ConfigLayer]:
        """The layers of one cell: the suite's method and preset, the axes, all other sections."""
        suite = ConfigOrigin("suite", str(self.path))
        names = {kind: self._component(kind, instance) for kind, instance in choice.items()}
        chosen: dict[Key, Any] = {(kind, "name"): name for kind, name in names.items()}
        if self.settings.preset is not None:
            chosen["run", "extends"] = f"{names['method']}/{self.settings.preset}"
        found = [
            ConfigLayer("suite", {key: ConfigValue(text, suite) for key, text in chosen.items()})
        ]
        for layer in self.whole:
            values: dict[Key, ConfigValue] = {}
            lines: dict[str, int] = {}
            for section in layer.sections():
                target = self._target(section, choice)
                if target is not None:
                    lines[target] = layer.lines.get(section, 0)
                    values |= {(target, k): v for k, v in layer.section(section).items()}
            found.append(replace(layer, values=values, lines=lines))
        place = dict(zip(OF_EACH_CELL, (seed, name, folder), strict=True))
        cell = ConfigOrigin("cell", name)
        return [
            *found,
            ConfigLayer("cell", {key: ConfigValue(value, cell) for key, value in place.items()}),
        ]

    def without_effect(self) -> list[Problem]:
        """What the suite says of all cells, and every cell has of its own."""
        return [
            Problem(
                str(layer.values[key].origin),
                f"[run] {key[1]} has no effect in a suite, whose cells have their own; "
                f"give [suite] {instead}",
            )
            for layer in self.whole
            for key, instead in OF_EACH_CELL.items()
            if key in layer.values
        ]

    def published(self) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
        """``[published.METHOD]`` sections, and what is wrong with them."""
        found: dict[str, dict[str, Any]] = {}
        problems = []
        methods = {choice["method"] for choice in self.choices()}
        for section in self.whole[0].sections():
            kind, _, method = section.partition(".")
            if kind != "published":
                continue
            if method not in methods:
                where = f"{self.path}:{self.whole[0].lines[section]}"
                hint = did_you_mean(method, methods)
                problems.append(Problem(where, f"[{section}] is no method of the suite{hint}"))
            found[method] = {}
            for key, value in self.whole[0].section(section).items():
                found[method][key] = value.raw if key == "source" else _fraction(value.raw)
                if key not in PUBLISHED:
                    fault = f"unknown figure{did_you_mean(key, PUBLISHED)}"
                elif found[method][key] is None:
                    fault = "should be a fraction from 0 to 1"
                else:
                    continue
                text = f"[{section}] {key} = {value.raw}: {fault}"
                problems.append(Problem(str(value.origin), text))
        return found, problems

    def _component(self, kind: str, instance: str) -> str:
        """The component that an instance on an axis names; its own name where it says nothing."""
        for layer in reversed(self.whole):
            named = layer.section(f"{kind}.{instance}").get("name")
            if named is not None:
                return str(named.raw)
        return instance

    def _target(self, section: str, choice: Mapping[str, str]) -> str | None:
        """The section of a cell that a section of the suite is for, or None."""
        kind, _, instance = section.partition(".")
        if section == "suite" or kind == "published":
            return None
        if kind in SINGLE_KINDS and instance:
            return kind if choice[kind] == instance else None
        return section


def _fraction(text: str) -> float | None:
    try:
        figure = float(text)
    except ValueError:
        return None
    return figure if 0 <= figure <= 1 else None
