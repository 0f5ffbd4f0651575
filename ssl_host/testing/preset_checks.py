"""Check of the presets of a plugin, which ``ssl-host plugin check`` runs."""

from __future__ import annotations

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.errors import ConfigError
from ssl_host.testing.outcome import Outcome


def resolves(name: str, catalog: Catalog) -> Outcome:
    """Check that the preset, and those that it extends, have only known and valid settings.

    Required settings that are not set, such as the folder of the images, are left to the user.
    """
    component = f"preset {name}"
    try:
        resolve_sections({"run": {"extends": name}}, catalog)
    except ConfigError as error:
        problems = [str(problem) for problem in error.problems if not problem.is_missing]
        if problems:
            why = "a run with [run] extends = " + name + " would fail with the same error"
            fix = "correct the lines above"
            what = "\n  ".join(problems)
            return Outcome(resolves.__name__, component, "failed", what, why, fix)
    return Outcome(resolves.__name__, component, "passed")
