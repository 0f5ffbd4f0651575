"""Base class of all components that plugins define."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

from ssl_host.contracts.settings import Settings
from ssl_host.errors import ContractError


class Component:
    """Base class of all components: objects that plugins define and the host builds.

    A subclass declares its settings in a nested ``Config`` and creates its layers and buffers in
    :meth:`setup`, which runs once, after ``self.config`` and the build arguments of its kind
    (``self.in_dim`` for a head, ``self.backbone`` for a method) have been set. It needs no
    ``__init__``.

    The annotation ``config: Config`` after the nested class tells mypy and editors the type of
    ``self.config``::

        class NTXent(Loss):
            class Config(Settings):
                temperature: float = Field(0.1, gt=0, description="divides the similarities")

            config: Config

            def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
                self.config.temperature  # a float

    Without the annotation ``self.config`` is ``Any``. A subclass that adds settings declares
    ``class Config(Parent.Config)`` and the annotation again.
    """

    kind: ClassVar[str]
    """Name of the kind, a key of ``ssl_host.KINDS``. Set by the base class of each kind."""
    build_args: ClassVar[tuple[str, ...]] = ()
    """Names of the constructor arguments that the host passes in addition to the settings."""
    Config: ClassVar[type[Settings]] = Settings
    """Schema of the settings; by default there are no settings."""
    named_sections: ClassVar[Mapping[str, str]] = {}
    """Settings that name another section, keyed by setting: the kind of that section, ``backbone``
    or ``data``. With ``{"network": "backbone"}``, the value ``network = large`` names the section
    ``[backbone.large]``, which the configuration must have. None names no section."""

    origin: str = ""
    """Name and version of the distribution that the component comes from; set by the host."""
    config: Any
    """The validated settings, an instance of :attr:`Config`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        schema = cls.__dict__.get("Config")
        if schema is not None and not (inspect.isclass(schema) and issubclass(schema, Settings)):
            raise ContractError(
                f"{cls.__module__}.{cls.__qualname__}.Config must inherit from ssl_host.Settings "
                "(`class Config(Settings):`), so that its fields are checked and described"
            )

    def __init__(self, config: Settings) -> None:
        self.config = config
        self.setup()

    def setup(self) -> None:
        """Create layers and buffers; the constructor calls this once, after setting ``config``."""
