"""Base class of the settings of components."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from ssl_host.errors import ContractError


class Settings(BaseModel):
    """Base class of settings: immutable, no unknown keys, and a description for every field.

    Each setting is declared only once: the configuration check, ``component show``, the reference
    pages and the report read its type, default, bounds and description from the subclass.

    Raises:
        ContractError: when a subclass has a field without a description.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    mutually_exclusive: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of mutually exclusive settings, such as ``(("lr", "base_lr"),)``. A
    configuration layer may set only one setting of a group; it replaces the one that a lower layer
    set."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        undescribed = [name for name, field in cls.model_fields.items() if not field.description]
        if undescribed:
            raise ContractError(
                f"{cls.__module__}.{cls.__qualname__}: {', '.join(undescribed)} without a "
                "description; declare each as "
                "`name: type = Field(default, description='what it does')`, "
                "so that `ssl-host component show` and the error messages can explain it"
            )
