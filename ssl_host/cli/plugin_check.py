"""``ssl-host plugin check``: run the conformance checks on a plugin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from ssl_host.cli.options import Session, echo_json, json_option, pass_session, session_options
from ssl_host.errors import ConfigError, PluginError, Problem, RunError, SslHostError, UserError

if TYPE_CHECKING:
    from ssl_host.catalog.catalog import Catalog
    from ssl_host.catalog.registry import Plugin
    from ssl_host.testing.outcome import Outcome
    from ssl_host.testing.target import CheckTarget

_COLOURS = {"passed": "green", "failed": "red", "skipped": "yellow"}


@click.command()
@click.argument("name")
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="KIND.KEY=VALUE",
    help="Set a value for the components of a kind, such as data.root=./images; for a method, also "
    "in other sections, such as head.projector.output_dim=64. Repeatable.",
)
@click.option("--only", multiple=True, metavar="CHECK", help="Run only this check; repeatable.")
@click.option("--skip", multiple=True, metavar="CHECK", help="Skip this check; repeatable.")
@json_option
@session_options
@pass_session
def check(
    session: Session,
    name: str,
    options: tuple[str, ...],
    only: tuple[str, ...],
    skip: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run the conformance checks on all components and presets of the plugin NAME.

    NAME is a distribution (ssl-plugin-nnclr) or an entry point (nnclr). Each failure reports
    what is wrong, why it matters and how to fix it.
    """
    plugin = _find_plugin(session, name)
    kinds = {kind for kind, _ in plugin.components}
    settings = _settings_by_kind(kinds - {"preset"}, options)
    _require_known_checks(kinds, (*only, *skip))
    counts: Counter[str] = Counter()
    outcomes = []
    presets = _check_presets(plugin, session.catalog(), only, skip)
    for outcome in chain(presets, _run_checks(plugin, settings, only, skip)):
        counts[outcome.state] += 1
        outcomes.append(outcome)
        if not as_json:
            _echo_outcome(outcome)
    if as_json:
        echo_json([asdict(outcome) for outcome in outcomes])
    else:
        click.echo(", ".join(f"{number} {state}" for state, number in sorted(counts.items())))
    if counts["failed"]:
        raise RunError(f"{plugin.origin} fails {counts['failed']} of {len(outcomes)} checks")


def _find_plugin(session: Session, name: str) -> Plugin:
    """Return the plugin with this distribution name or entry-point name.

    Raises:
        PluginError: if the plugin is not installed, or is broken or blocked.
    """
    from ssl_host.catalog.discovery import did_you_mean  # noqa: PLC0415 - for a fast start

    plugins = session.catalog().plugins
    known = [n for p in plugins for n in (p.origin.plugin, p.origin.distribution)]
    for plugin in plugins:
        if name in (plugin.origin.plugin, plugin.origin.distribution):
            if plugin.state != "ready":
                raise PluginError(f"{plugin.origin} is {plugin.state}: {plugin.reason}")
            return plugin
    hint = (
        did_you_mean(name, known)
        or f"; the installed ones are {', '.join(p.origin.plugin for p in plugins)}"
    )
    raise PluginError(f"unknown plugin {name!r}{hint}")


def _settings_by_kind(kinds: set[str], options: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the settings given as options, grouped by kind of component.

    Settings of other sections, such as ``head.projector``, are added to the method's settings.

    Raises:
        ConfigError: if an option is for a kind that the plugin does not have.
    """
    from ssl_host.config.layers import option_layer  # noqa: PLC0415 - for a fast start
    from ssl_host.contracts.kinds import KINDS  # noqa: PLC0415

    settings: dict[str, dict[str, Any]] = {}
    problems = []
    for (section, key), value in option_layer(options).values.items():
        if section in kinds:
            settings.setdefault(section, {})[key] = value
        elif "method" in kinds and section.partition(".")[0] in KINDS:
            settings.setdefault("method", {}).setdefault(section, {})[key] = value.raw
        else:
            text = (
                f"this plugin has no component of kind '{section}'; its kinds are "
                f"{', '.join(sorted(kinds))}"
            )
            problems.append(Problem(str(value.origin), text))
    if problems:
        raise ConfigError(problems)
    return settings


def _require_known_checks(kinds: set[str], names: tuple[str, ...]) -> None:
    """Raise UserError if any name is not a check for these kinds of components."""
    from ssl_host.testing.preset_checks import resolves  # noqa: PLC0415 - imports torch
    from ssl_host.testing.suite import checks_of  # noqa: PLC0415

    with_classes = sorted(kinds - {"preset"})
    known = list(dict.fromkeys(check for kind in with_classes for check in checks_of(kind)))
    known += [resolves.__name__] if "preset" in kinds else []
    for name in names:
        if name not in known:
            raise UserError(f"unknown check {name!r}; the checks are {', '.join(known)}")


def _check_presets(
    plugin: Plugin, catalog: Catalog, only: tuple[str, ...], skip: tuple[str, ...]
) -> Iterator[Outcome]:
    """Check every preset of a plugin, unless the check is not selected, and yield the outcomes."""
    from ssl_host.testing.preset_checks import resolves  # noqa: PLC0415 - for a fast start

    name = resolves.__name__
    if name not in skip and (not only or name in only):
        for kind, preset in plugin.components:
            if kind == "preset":
                yield resolves(preset, catalog)


def _run_checks(
    plugin: Plugin,
    settings: Mapping[str, dict[str, Any]],
    only: tuple[str, ...],
    skip: tuple[str, ...],
) -> Iterator[Outcome]:
    """Run the selected checks on every component of a plugin and yield their outcomes."""
    import torch  # noqa: PLC0415 - for a fast start

    from ssl_host.testing.suite import checks_of, run_checks  # noqa: PLC0415
    from ssl_host.testing.target import CheckTarget  # noqa: PLC0415

    torch.set_num_threads(1)  # the networks are tiny, and some checks start two processes
    for kind, component in plugin.components:
        if kind != "preset":
            available = checks_of(kind)
            selected = [name for name in only if name in available]
            skipped = [name for name in skip if name in available]
            if not only or selected:
                target = CheckTarget(kind, component, {})
                settings_of_target = _parse_settings(target, settings.get(kind, {}))
                yield from run_checks(
                    replace(target, settings=settings_of_target), skipped, selected
                )


def _parse_settings(target: CheckTarget, values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the settings of a component to Python values; other sections remain text.

    Raises:
        ConfigError: if the text of a value cannot be converted to the type of its setting.
    """
    from ssl_host.config.section import parse_settings  # noqa: PLC0415 - for a fast start
    from ssl_host.config.values import ConfigValue  # noqa: PLC0415

    own = {key: value for key, value in values.items() if isinstance(value, ConfigValue)}
    try:
        schema = target.cls.Config
    except SslHostError:  # the checks report a class that cannot be loaded
        return {}
    parsed, problems = parse_settings(target.kind, schema, own)
    if problems:
        raise ConfigError(list(problems.values()))
    return {**parsed, **{key: value for key, value in values.items() if key not in own}}


def _echo_outcome(outcome: Outcome) -> None:
    """Print the outcome of one check; if it failed, print all details."""
    state = click.style(outcome.state, fg=_COLOURS[outcome.state])
    if outcome.state == "failed":
        click.echo(str(outcome).replace(outcome.state, state, 1))
    else:
        click.echo(f"{outcome.component}: {outcome.check} {state}  {outcome.what}".rstrip())
