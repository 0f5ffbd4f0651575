"""Find sections that do not belong in the configuration of a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ssl_host.catalog.discovery import did_you_mean
from ssl_host.catalog.official import official_distribution
from ssl_host.config.component_lookup import ComponentLookup
from ssl_host.config.schema import HOST_SECTIONS, INSTANCE_KINDS, SINGLE_KINDS
from ssl_host.errors import Problem

_INSTANCE = re.compile(r"[^\s\[\]#;]([^\[\]#;\n\r]*[^\s\[\]#;])?")
"""Matches the instance names that are allowed in a section header."""
_NAMED_BY = {"backbone": "a [baseline.NAME] with name = pretrained", "data": "an [evaluator.NAME]"}
"""Sections that can name a further section of a kind that has only one, keyed by that kind."""
_HOST_METRICS = ("online", "throughput")
"""First parts of the names of metrics that the host measures itself."""


def unknown_sections(lookup: ComponentLookup) -> Iterator[tuple[str, Problem]]:
    """Yield the name of each unknown section, and a problem that suggests how to fix it."""
    names = lookup.catalog.names
    single = [*HOST_SECTIONS, *SINGLE_KINDS]
    instances = [
        *(f"head.{name}" for name in lookup.heads),
        *(f"backbone.{name}" for name in lookup.frozen),
        *(f"{k}.{name}" for k in INSTANCE_KINDS if k != "head" for name in names(k)),
    ]
    for section in lookup.sections():
        kind, _, instance = section.partition(".")
        if section in single or lookup.is_additional(section):
            continue
        if kind in INSTANCE_KINDS and instance:
            if reason := _wrong_name(lookup, kind, instance):
                known = instances if kind == "head" else ()
                yield section, _problem(lookup, section, reason, known)
        elif kind in INSTANCE_KINDS:
            example = next((name for name in instances if name.startswith(kind)), f"{kind}.name")
            yield section, _problem(lookup, section, f"add a name, such as [{example}]")
        elif kind in SINGLE_KINDS:
            yield section, _problem(lookup, section, _second_section(lookup, kind, instance))
        elif distribution := official_distribution("section", section):
            reason = f"this file is for {distribution}, not for `ssl-host run`"
            yield section, _problem(lookup, section, f"{reason}; pip install {distribution}")
        else:
            yield section, _problem(lookup, section, "", [*single, *instances])


def _wrong_name(lookup: ComponentLookup, kind: str, instance: str) -> str:
    """Return what is wrong with the name of a section of a kind with many; empty if nothing is."""
    if not _INSTANCE.fullmatch(instance):
        return "the name must not contain [ ] # or ;, or start or end with a space"
    if kind == "head" and lookup.classes.get("method") and instance not in lookup.heads:
        heads = ", ".join(lookup.heads)
        return f"the method's heads are {heads}" if heads else "the method has no heads"
    # The metrics of a baseline begin with its name, and must not be taken for others.
    is_taken = instance in _HOST_METRICS or f"evaluator.{instance}" in lookup.sections()
    if kind == "baseline" and is_taken:
        return "other metrics of the run begin with this name; choose another name"
    return ""


def _second_section(lookup: ComponentLookup, kind: str, instance: str) -> str:
    """Return the problem of a further section of a kind that has only one, ``[kind]``."""
    reason = f"a run has only one {kind}; write [{kind}]"
    if kind == "backbone" and lookup.frozen:
        frozen = ", ".join(f"[backbone.{name}]" for name in lookup.frozen)
        reason = f"the method's frozen networks are {frozen}"
    if user := _NAMED_BY.get(kind):
        reason += f", or name this section in {user}: {kind} = {instance}"
    return reason


def _problem(
    lookup: ComponentLookup, section: str, reason: str, known: Sequence[str] = ()
) -> Problem:
    """Return the problem to report for an unknown section; suggest the most similar known one."""
    text = f"[{section}] unknown section" + (f": {reason}" if reason else "")
    return Problem(lookup.location(section), text + did_you_mean(section, known))
