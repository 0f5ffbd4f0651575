"""What a check has found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


class CheckFailure(Exception):  # noqa: N818 - becomes an Outcome, and is raised by checks alone
    """A component breaks a promise.

    Args:
        what: what was found.
        why: why it matters.
        remedy: how to mend it.
    """

    def __init__(self, what: str, why: str, remedy: str) -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(what)


class NotApplicable(Exception):  # noqa: N818 - likewise
    """The check says nothing about this component; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """The end of one check.

    Attributes:
        check: its name.
        subject: the component, as ``method nnclr``.
        state: ``passed``, ``failed``, or ``skipped`` where the check does not apply.
        what: what was found; for a passed check what was measured, if anything.
        why: why a failure matters.
        remedy: how to mend it.
    """

    check: str
    subject: str
    state: Literal["passed", "failed", "skipped"]
    what: str = ""
    why: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        lines = [f"{self.subject}: {self.check} {self.state}"]
        lines += [f"  {self.what}"] if self.what else []
        lines += [f"  why it matters: {self.why}"] if self.why else []
        lines += [f"  how to mend it: {self.remedy}"] if self.remedy else []
        return "\n".join(lines)


class ConformanceError(AssertionError):
    """At least one check failed. The text holds every failure.

    Attributes:
        outcomes: of all checks.
    """

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes = tuple(outcomes)
        super().__init__("\n" + "\n".join(str(o) for o in outcomes if o.state == "failed"))
