"""Read published results of other projects from the sections ``[published.METHOD]``."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from ssl_host import (
    Catalog,
    ConfigLayer,
    ConfigValue,
    Figure,
    FigureRow,
    PluginError,
    Problem,
    declared_figures,
    did_you_mean,
    find_figure,
)


@dataclass(frozen=True)
class PublishedResults:
    """Published results of one method.

    Attributes:
        figures: the published metrics, without baselines.
        source: text that says where they were published.
    """

    figures: tuple[FigureRow, ...] = ()
    source: str = ""


def read_published(
    layer: ConfigLayer, methods: Collection[str], catalog: Catalog
) -> tuple[dict[str, PublishedResults], list[Problem]]:
    """Return published results, keyed by method, and the problems found in their sections."""
    sections = [name for name in layer.sections() if name.partition(".")[0] == "published"]
    if not sections:
        return {}, []
    declared = _declared_figures(layer, catalog)
    published: dict[str, PublishedResults] = {}
    problems: list[Problem] = []
    for section in sections:
        method = section.partition(".")[2]
        if method not in methods:
            place = f"{layer.file}:{layer.lines[section]}"
            hint = did_you_mean(method, methods)
            text = f"[{section}] {method!r} is not a method of the suite{hint}"
            problems.append(Problem(place, text))
        figures = []
        source = ""
        for key, value in layer.section(section).items():
            if key == "source":
                source = str(value.raw)
                continue
            try:
                figures.append(_read_figure(key, value, declared))
            except ValueError as error:
                text = f"[{section}] {key} = {value.raw}: {error}"
                problems.append(Problem(str(value.origin), text))
        published[method] = PublishedResults(tuple(figures), source)
    return published, problems


def _declared_figures(layer: ConfigLayer, catalog: Catalog) -> dict[str, Figure]:
    """Return the metrics that the installed and the suite's evaluators declare, keyed by name."""
    components = {name: name for name in catalog.names("evaluator")}
    for section in layer.sections():
        kind, _, instance = section.partition(".")
        if kind == "evaluator":
            name = layer.section(section).get("name")
            components[instance] = str(name.raw) if name else instance
    evaluators = {}
    for instance, component in components.items():
        with suppress(PluginError):  # reported as a problem of the runs that use it
            evaluators[instance] = catalog.load("evaluator", component)
    return declared_figures(evaluators)


def _read_figure(name: str, value: ConfigValue, declared: Mapping[str, Figure]) -> FigureRow:
    """Read one published metric from its key and value.

    Raises:
        ValueError: if the metric is not declared, or its value is not a valid number.
    """
    figure = find_figure(declared, name)
    if figure is None:
        raise ValueError(f"unknown metric{did_you_mean(name, [*declared, 'source'])}")
    try:
        number = float(value.raw)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("should be a finite number")
    if figure.unit == "%" and not 0 <= number <= 1:
        raise ValueError("should be a fraction from 0 to 1")
    return FigureRow(name, number, figure)
