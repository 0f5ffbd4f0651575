"""The base of every schema: what ``Config`` classes inherit from."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from ssl_host.errors import ContractError


class Settings(BaseModel):
    """A frozen, closed schema. Every field has a description, and numbers have bounds.

    The schema is the only place where a setting is declared: the checker, ``component show``,
    the reference pages and the report read it from here.

    Raises:
        ContractError: when a subclass has a field without a description.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    mutually_exclusive: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of settings of which one layer may give only one, and a higher layer's choice
    displaces the lower layers' (``(("lr", "base_lr"),)``)."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        bare = [name for name, field in cls.model_fields.items() if not field.description]
        if bare:
            raise ContractError(
                f"{cls.__module__}.{cls.__qualname__}: {', '.join(bare)} without a description; "
                "declare it as `name: type = Field(default, description='what it does')`, "
                "so that `ssl-host component show` and the error messages can explain it"
            )
