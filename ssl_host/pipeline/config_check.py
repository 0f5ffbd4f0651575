"""Build every component of a configuration and report the problems of all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ssl_host.components import build_section
from ssl_host.compose import (
    Experiment,
    build_backbone,
    compose,
    compose_data,
    compose_method,
    make_run_plan,
)
from ssl_host.config.error_locations import locate_errors
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.data import DataSource
from ssl_host.errors import UserError

T = TypeVar("T")

_INDEPENDENT_KINDS = ("loss", "optimizer", "scheduler", "evaluator", "baseline", "logger")
"""Kinds of components that are built from their settings alone."""


def compose_and_check(config: RunConfig) -> Experiment:
    """Build every component of a configuration; if some cannot be built, report all of them.

    Raises:
        UserError: if components cannot be built; the message has one line for each problem.
    """
    try:
        return compose(config)
    except UserError as error:
        problems = _problems(config)
        if len(problems) < 2:
            raise
        raise UserError("\n".join(problems)) from error


def _problems(config: RunConfig) -> list[str]:
    """Return the error of each component whose inputs can be built, without duplicates."""
    messages: list[str] = []

    def attempt(build: Callable[[], T]) -> T | None:
        try:
            with locate_errors(config):
                return build()
        except UserError as error:
            messages.append(str(error))
            return None

    source: DataSource | None = attempt(partial(build_section, config, "data"))
    if source is not None:
        attempt(partial(compose_data, config))
        plan = make_run_plan(config, source, None)
        for component in config.of_kind("backbone"):
            if not component.network_references:
                attempt(partial(build_backbone, config, component.section, plan, {}))
        attempt(partial(compose_method, config, plan))
    for section, component in config.components.items():
        if component.kind in _INDEPENDENT_KINDS and not component.network_references:
            attempt(partial(build_section, config, section))
    return list(dict.fromkeys(messages))
