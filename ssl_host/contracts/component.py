"""What all components share: a kind, a nested ``Config``, an origin."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from ssl_host.contracts.settings import Settings
from ssl_host.errors import ContractError

KINDS = (
    "augmentation",
    "backbone",
    "data",
    "evaluator",
    "exporter",
    "head",
    "logger",
    "loss",
    "method",
    "optimizer",
    "scheduler",
)
"""The kinds of components, in the one spelling used in INI files, hooks and classes."""


class Component:
    """A part that the host builds from an INI section.

    A subclass declares its settings in a nested ``Config`` and prepares itself in
    :meth:`setup`, which runs once, after ``self.config`` and the context of its kind
    (``self.in_dim`` for a head, ``self.backbone`` for a method) are in place. There is no need
    for an ``__init__``.
    """

    kind: ClassVar[str]
    build_args: ClassVar[tuple[str, ...]] = ()
    """Names of what the host hands over besides the settings."""

    class Config(Settings):
        """No settings."""

    origin: str = ""
    """Distribution and version that it comes from; filled in by the host."""
    config: Any
    """The validated settings, an instance of the nested ``Config``."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        schema = cls.__dict__.get("Config")
        if schema is not None and not (inspect.isclass(schema) and issubclass(schema, Settings)):
            raise ContractError(
                f"{cls.__module__}.{cls.__qualname__}.Config must inherit from ssl_host.Settings "
                "(`class Config(Settings):`), so that its fields are checked and described"
            )

    def setup(self) -> None:
        """Prepare layers, buffers and tables. Called once by the constructor."""
