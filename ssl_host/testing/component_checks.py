"""What every component owes, whatever its kind."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from ssl_host.config.describe import describe_settings
from ssl_host.contracts.settings import Settings
from ssl_host.testing.outcome import CheckFailure, NotApplicable
from ssl_host.testing.target import CheckTarget

SOURCE = re.compile(
    r"arXiv:|\d{4}\.\d{4,5}|doi|https?://|no paper|et al\.|\((19|20)\d\d\)", re.IGNORECASE
)
"""What counts as naming a source. A thing of one's own says so: "No paper"."""


def documented(target: CheckTarget) -> str:
    """A docstring that says what it is, and for a method or loss where it comes from."""
    cls = target.cls
    text = (cls.__doc__ or "").strip()
    if not text:
        raise CheckFailure(
            f"{cls.__qualname__} has no docstring",
            "`ssl-host component show` and the reference pages print it: nobody else knows "
            "what this is",
            "write one sentence that says what it does, and the paper it comes from",
        )
    if target.kind in ("method", "loss") and not SOURCE.search(text):
        raise CheckFailure(
            f"the docstring of {cls.__qualname__} names no source",
            "whoever compares with the paper must know which paper and which equation",
            "add the source, such as 'Chen & He, CVPR 2021, arXiv:2011.10566, algorithm 1', "
            "or 'No paper' for an idea of your own",
        )
    return text.splitlines()[0]


def settings_described(target: CheckTarget) -> str:
    """Every setting has a description; every number has bounds, and a default keeps them."""
    schema: type[Settings] = target.cls.Config
    for row in describe_settings(schema):
        if not row["description"].strip():
            raise CheckFailure(
                f"the setting {row['name']} has no description",
                "it is what `component show` and every error message about it print",
                "write Field(default, description='what it does')",
            )
        if not _is_bounded(schema, row["name"]):
            raise CheckFailure(
                f"the setting {row['name']} is a number without bounds",
                "a typo such as 1e3 for 1e-3 would be found after hours instead of at once",
                f"write {row['name']}: {row['type']} = Field({row['default'] or '...'}, ge=..., "
                "le=..., description=...)",
            )
    return f"{len(schema.model_fields)} settings"


def _is_bounded(schema: type[Settings], name: str) -> bool:
    """Whether some number is refused for it, however the bounds are declared."""
    numbers = _members(schema.model_fields[name].annotation) & {int, float}
    if not numbers:
        return True
    huge = 10**300 if numbers == {int} else 1e300
    several = bool(_members(schema.model_fields[name].annotation) & {list, tuple})
    return any(_refuses(schema, name, [n] if several else n) for n in (huge, -huge))


def _refuses(schema: type[Settings], name: str, given: Any) -> bool:
    try:
        schema.model_validate({name: given})
    except ValidationError as error:
        return any(fault["loc"][:1] == (name,) for fault in error.errors())
    return False


def _members(annotation: Any) -> set[Any]:
    """The types inside a union, a list or an annotation."""
    inner = [m for a in get_args(annotation) for m in _members(a)]
    return {get_origin(annotation) or annotation, *inner}


def import_without_torch(target: CheckTarget) -> str:
    """Importing the plugin's module, as every list does, imports no torch."""
    plugin = target.entry.origin.plugin
    module = next((p.module for p in target.catalog.plugins if p.origin.plugin == plugin), "")
    if not module:
        raise NotApplicable("the class belongs to no installed plugin")
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CheckFailure(
            f"import {module} imports torch",
            "`ssl-host --help` and `component list` import every plugin: each would wait seconds",
            f"let {module} hold the hooks alone, and refer to classes in another module as text: "
            'register("name", "package.module:Class")',
        )
    return module


def watched(settings: Settings) -> tuple[Settings, set[str], set[str]]:
    """Settings that note which of them are read, and what is asked for that they do not have."""
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
            f"Config of {cls.__qualname__.split('.')[0]} declares no setting {name!r}"
        )

    twin: Any = type(
        cls.__name__,
        (cls,),
        {
            "__getattribute__": getattribute,
            "__getattr__": missing,
            "__module__": cls.__module__,
            "__doc__": inspect.getdoc(cls),
        },
    )
    return twin.model_construct(**dict(settings)), read, unknown


def judge_reading(target: CheckTarget, read: set[str], unknown: set[str], used: set[str]) -> str:
    """The verdict on what :func:`watched` has noted.

    Args:
        used: settings that something else reads, by a reference to them.
    """
    if unknown:
        names = ", ".join(sorted(unknown))
        raise CheckFailure(
            f"reads config.{names}, which Config does not declare",
            "nobody can set it from an INI file, and a getattr with a default hides that",
            f"declare it in {target.cls.__qualname__}.Config: {sorted(unknown)[0]}: float = "
            "Field(..., description='what it does')",
        )
    unread = [n for n in target.cls.Config.model_fields if n not in read | used]
    return f"not read in this trial: {', '.join(unread)}" if unread else "all of them are read"
