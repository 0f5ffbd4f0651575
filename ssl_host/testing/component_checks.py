"""Checks that apply to components of every kind."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Set
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from ssl_host.config.display import describe_settings
from ssl_host.contracts.settings import Settings
from ssl_host.testing.outcome import CheckFailure, NotApplicable
from ssl_host.testing.target import CheckTarget

SOURCE = re.compile(
    r"arXiv:|\d{4}\.\d{4,5}|doi|https?://|no paper|et al\.|\((19|20)\d\d\)", re.IGNORECASE
)
"""Matches docstrings that name a source, or say "No paper"."""


def documented(target: CheckTarget) -> str:
    """Check that the class has a docstring; for methods and losses it must name a source."""
    cls = target.cls
    text = (cls.__doc__ or "").strip()
    if not text:
        raise CheckFailure(
            f"{cls.__qualname__} has no docstring",
            "`ssl-host component show` and the reference pages print it",
            "describe in one sentence what the class does, and name its paper",
        )
    if target.kind in ("method", "loss") and not SOURCE.search(text):
        raise CheckFailure(
            f"the docstring of {cls.__qualname__} names no source",
            "readers must know which paper and equation to compare it with",
            "add the source, such as 'Chen & He, CVPR 2021, arXiv:2011.10566, algorithm 1', "
            "or 'No paper' for your own idea",
        )
    return text.splitlines()[0]


def settings_described(target: CheckTarget) -> str:
    """Check that every setting has a description, and every numeric setting has a bound."""
    schema: type[Settings] = target.cls.Config
    for row in describe_settings(schema):
        if not row["description"].strip():
            raise CheckFailure(
                f"the setting {row['name']} has no description",
                "`component show` and error messages print it",
                "write Field(default, description='...')",
            )
        if not _is_bounded(schema, row["name"]):
            raise CheckFailure(
                f"the setting {row['name']} is a number without bounds",
                "bounds catch typos such as 1e3 for 1e-3 before a run starts",
                f"write {row['name']}: {row['type']} = Field({row['default'] or '...'}, ge=..., "
                "le=..., description=...)",
            )
    return f"{len(schema.model_fields)} settings"


def _is_bounded(schema: type[Settings], name: str) -> bool:
    """Return True if a setting is not a number, or if it has a lower or an upper bound."""
    types = _member_types(schema.model_fields[name].annotation)
    numbers = types & {int, float}
    if not numbers:
        return True
    huge = 10**300 if numbers == {int} else 1e300
    is_list = bool(types & {list, tuple})
    return any(_rejects(schema, name, [n] if is_list else n) for n in (huge, -huge))


def _rejects(schema: type[Settings], name: str, value: Any) -> bool:
    """Return True if a value is invalid for a setting."""
    try:
        schema.model_validate({name: value})
    except ValidationError as error:
        return any(problem["loc"][:1] == (name,) for problem in error.errors())
    return False


def _member_types(annotation: Any) -> set[Any]:
    """Return the types in an annotation, including those inside unions and lists."""
    inner = [m for a in get_args(annotation) for m in _member_types(a)]
    return {get_origin(annotation) or annotation, *inner}


def import_without_torch(target: CheckTarget) -> str:
    """Check that importing the plugin's module does not import torch, which takes seconds."""
    plugin = target.entry.origin.plugin
    module = next((p.module for p in target.catalog.plugins if p.origin.plugin == plugin), "")
    if not module:
        raise NotApplicable("the class does not belong to an installed plugin")
    if _imports_torch(module, getattr(sys.modules.get(module), "__file__", None)):
        raise CheckFailure(
            f"import {module} imports torch",
            "`ssl-host --help` and `component list` import every plugin and would take seconds",
            f"keep only the hooks in {module}, and name classes in other modules as text: "
            'register("name", "package.module:Class")',
        )
    return module


@cache
def _imports_torch(module: str, _file: str | None) -> bool:
    """Import a module in a new process; return True if the import loads torch or fails."""
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    return done.returncode != 0


def track_reads(settings: Settings) -> tuple[Settings, set[str], set[str]]:
    """Return a copy of settings that records each name that is read, and two sets of names.

    The first set receives the declared names that are read, the second the undeclared ones. Both
    are filled while the copy is used.
    """
    cls: Any = type(settings)
    fields = set(cls.model_fields)
    read: set[str] = set()
    unknown: set[str] = set()

    def getattribute(self: Any, name: str) -> Any:
        if name in fields:
            read.add(name)
        return object.__getattribute__(self, name)

    def missing(_self: Any, name: str) -> Any:
        if not name.startswith("_"):
            unknown.add(name)
        raise AttributeError(
            f"the Config of {cls.__qualname__.split('.')[0]} does not declare a setting {name!r}"
        )

    tracked: Any = type(
        cls.__name__,
        (cls,),
        {
            "__getattribute__": getattribute,
            "__getattr__": missing,
            "__module__": cls.__module__,
            "__doc__": inspect.getdoc(cls),
        },
    )
    return tracked.model_construct(**dict(settings)), read, unknown


def check_recorded_reads(
    target: CheckTarget, read: set[str], unknown: set[str], referenced: Set[str] = frozenset()
) -> str:
    """Check that a component read only declared settings; return a note on unread ones.

    Args:
        target: the component under test.
        read: names of the declared settings that were read, from :func:`track_reads`.
        unknown: names that were read although Config does not declare them, from the same function.
        referenced: names of settings that the host or other sections read.

    Raises:
        CheckFailure: when the component read a setting that Config does not declare.
    """
    if unknown:
        names = ", ".join(sorted(unknown))
        raise CheckFailure(
            f"the component reads config.{names}, which Config does not declare",
            "INI files cannot set it, and a getattr with a default hides that",
            f"declare it in {target.cls.__qualname__}.Config: {sorted(unknown)[0]}: float = "
            "Field(..., description='...')",
        )
    unread = [n for n in target.cls.Config.model_fields if n not in read | referenced]
    return f"not read in this check: {', '.join(unread)}" if unread else "all settings are read"
