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


def unknown_sections(lookup: ComponentLookup) -> Iterator[tuple[str, Problem]]:
    """Yield the name of each unknown section, and a problem that suggests how to fix it."""
    names = lookup.catalog.names
    single = [*HOST_SECTIONS, *SINGLE_KINDS]
    instances = [
        *(f"head.{name}" for name in lookup.heads),
        *(f"backbone.{name}" for name in lookup.frozen),
        *(f"{kind}.{name}" for kind in ("evaluator", "logger") for name in names(kind)),
    ]
    for section in lookup.sections():
        kind, _, instance = section.partition(".")
        if section in single or lookup.is_frozen_network(section):
            continue
        if kind in INSTANCE_KINDS and instance:
            if not _INSTANCE.fullmatch(instance):
                reason = "the name must not contain [ ] # or ;, or start or end with a space"
                yield section, _problem(lookup, section, reason)
            elif kind == "head" and lookup.classes.get("method") and instance not in lookup.heads:
                heads = ", ".join(lookup.heads)
                reason = f"the method's heads are {heads}" if heads else "the method has no heads"
                yield section, _problem(lookup, section, reason, instances)
        elif kind in INSTANCE_KINDS:
            example = next((name for name in instances if name.startswith(kind)), f"{kind}.name")
            yield section, _problem(lookup, section, f"add a name, such as [{example}]")
        elif kind in SINGLE_KINDS:
            reason = f"a run has only one {kind}; write [{kind}]"
            if kind == "backbone" and lookup.frozen:
                frozen = ", ".join(f"[backbone.{name}]" for name in lookup.frozen)
                reason = f"the method's frozen networks are {frozen}"
            yield section, _problem(lookup, section, reason)
        elif distribution := official_distribution("section", section):
            reason = f"this file is for {distribution}, not for `ssl-host run`"
            yield section, _problem(lookup, section, f"{reason}; pip install {distribution}")
        else:
            yield section, _problem(lookup, section, "", [*single, *instances])


def _problem(
    lookup: ComponentLookup, section: str, reason: str, known: Sequence[str] = ()
) -> Problem:
    """Return the problem to report for an unknown section; suggest the most similar known one."""
    text = f"[{section}] unknown section" + (f": {reason}" if reason else "")
    return Problem(lookup.location(section), text + did_you_mean(section, known))
