"""Results of conformance checks, and the exceptions that checks raise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


class CheckFailure(Exception):  # noqa: N818 - run_check turns it into an Outcome
    """Raised by a check when a component does not meet its contract.

    Args:
        what: what is wrong.
        why: why it matters.
        fix: how to fix it.
    """

    def __init__(self, what: str, why: str, fix: str) -> None:
        self.what = what
        self.why = why
        self.fix = fix
        super().__init__(what)


class NotApplicable(Exception):  # noqa: N818 - run_check turns it into an Outcome
    """Raised by a check that does not apply to the component; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of one check: passed, failed or skipped, with the reason.

    Attributes:
        check: name of the check.
        component: kind and name of the component, such as ``method nnclr``.
        state: ``passed``, ``failed``, or ``skipped`` if the check does not apply.
        what: what is wrong, why the check was skipped or, if it passed, what was measured.
        why: why the failure matters.
        fix: how to fix the failure.
    """

    check: str
    component: str
    state: Literal["passed", "failed", "skipped"]
    what: str = ""
    why: str = ""
    fix: str = ""

    def __str__(self) -> str:
        lines = [f"{self.component}: {self.check} {self.state}"]
        lines += [f"  {self.what}"] if self.what else []
        lines += [f"  why it matters: {self.why}"] if self.why else []
        lines += [f"  how to fix it: {self.fix}"] if self.fix else []
        return "\n".join(lines)


class ConformanceError(AssertionError):
    """Raised when at least one check failed; the message lists all failures.

    Attributes:
        outcomes: the outcomes of all checks, including those that passed.
    """

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes = tuple(outcomes)
        super().__init__("\n" + "\n".join(str(o) for o in outcomes if o.state == "failed"))
