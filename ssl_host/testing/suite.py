"""The checks of each kind, and how they are run: one by one, by pytest, or all at once."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from ssl_host.catalog.registry import error_location
from ssl_host.contracts.kinds import KINDS
from ssl_host.errors import SslHostError, UserError
from ssl_host.testing import (
    augmentation_checks,
    component_checks,
    data_checks,
    measuring_checks,
    method_checks,
    method_state,
    method_training,
    network_checks,
    optimization_checks,
)
from ssl_host.testing.outcome import CheckFailure, ConformanceError, NotApplicable, Outcome
from ssl_host.testing.target import CheckTarget

Check = Callable[[CheckTarget], str]

_EVERY: tuple[Check, ...] = (
    component_checks.documented,
    component_checks.settings_described,
    component_checks.import_is_light,
)
_NETWORK: tuple[Check, ...] = (
    network_checks.output_shape,
    network_checks.learns,
    network_checks.evaluation_is_repeatable,
    network_checks.state_round_trip,
    network_checks.half_precision,
    network_checks.settings_read,
)
_OF_KIND: dict[str, tuple[Check, ...]] = {
    "method": (
        method_checks.settings_read,
        method_checks.finite_loss,
        method_checks.features_given,
        method_checks.gradients,
        method_checks.momentum_follows,
        method_checks.stop_gradient,
        method_checks.step_is_pure,
        method_checks.batch_order,
        method_checks.multicrop,
        method_state.same_seed,
        method_state.resume,
        method_state.one_process_equals_two,
        method_state.accumulation,
        method_state.autocast,
        method_training.no_collapse,
        method_training.overhead,
    ),
    "augmentation": (
        augmentation_checks.settings_read,
        augmentation_checks.view_shapes,
        augmentation_checks.repeatable,
        augmentation_checks.alone_or_in_a_batch,
        augmentation_checks.fresh_each_epoch,
        augmentation_checks.input_untouched,
    ),
    "backbone": (*_NETWORK, network_checks.exported),
    "head": _NETWORK,
    "loss": (
        network_checks.settings_read,
        network_checks.scalar,
        network_checks.degenerate,
        network_checks.image_order,
        network_checks.two_processes,
    ),
    "optimizer": (
        optimization_checks.settings_read,
        optimization_checks.minimizes,
        optimization_checks.respects_lr,
        optimization_checks.keeps_groups,
        optimization_checks.resumes,
    ),
    "scheduler": (optimization_checks.settings_read, optimization_checks.factors),
    "evaluator": (
        measuring_checks.settings_read,
        measuring_checks.metrics_are_numbers,
        measuring_checks.finds_what_is_there,
        measuring_checks.test_split_is_only_read,
        measuring_checks.leaves_the_bank_alone,
        measuring_checks.without_labels,
    ),
    "data": (
        data_checks.settings_read,
        data_checks.images_are_bytes,
        data_checks.labels_fit,
        data_checks.splits_are_apart,
        data_checks.read_side_by_side,
    ),
    "logger": (measuring_checks.settings_read, measuring_checks.keeps_a_record),
}


def checks_of(kind: str) -> dict[str, Check]:
    """The checks of a kind by name; a check's docstring says what it promises.

    Raises:
        UserError: for an unknown kind.
    """
    if kind not in KINDS:
        raise UserError(f"unknown kind {kind!r}; kinds are {', '.join(KINDS)}")
    return {check.__name__: check for check in (*_EVERY, *_OF_KIND.get(kind, ()))}


def run_check(subject: CheckTarget, name: str) -> Outcome:
    """One check, its failure contained. Whatever a component raises is a failure with a place."""
    try:
        return Outcome(name, str(subject), "passed", checks_of(subject.kind)[name](subject))
    except NotApplicable as reason:
        return Outcome(name, str(subject), "skipped", str(reason))
    except CheckFailure as fault:
        return Outcome(name, str(subject), "failed", fault.what, fault.why, fault.remedy)
    except KeyboardInterrupt:
        raise
    except Exception as error:
        return Outcome(
            name,
            str(subject),
            "failed",
            _raised(subject, error),
            f"this was being checked: {(checks_of(subject.kind)[name].__doc__ or '').strip()}",
            "it says what to do"
            if isinstance(error, SslHostError)
            else "the place above is the component's own line, where the fault came up",
        )


def _raised(subject: CheckTarget, error: Exception) -> str:
    if isinstance(error, SslHostError):
        return str(error)
    if type(error).__name__ == "ProcessRaisedException":  # the text is the process's traceback
        return str(error).strip().splitlines()[-1]
    try:
        module = subject.cls.__module__
    except SslHostError:
        module = ""
    place = error_location(error, module)
    last = traceback.format_exception_only(error)[-1].strip()
    return f"{last} ({place})"


def run_checks(
    subject: CheckTarget, skip: Collection[str] = (), only: Collection[str] = ()
) -> Iterator[Outcome]:
    """All checks of a subject, one by one.

    Args:
        skip: names of checks that are not to be made, each for a reason that its docstring tells.
        only: if given, the names of those that are.

    Raises:
        UserError: for a name that is no check's.
    """
    known = checks_of(subject.kind)
    wrong = [name for name in (*skip, *only) if name not in known]
    if wrong:
        raise UserError(f"no check of a {subject.kind} is called {wrong[0]}: {', '.join(known)}")
    told = ""
    for name in known:
        if name not in skip and (not only or name in only):
            outcome = run_check(subject, name)
            if outcome.state == "failed" and outcome.what == told:
                outcome = replace(outcome, what="as above", why="", remedy="")
            elif outcome.state == "failed":
                told = outcome.what
            yield outcome


def check_component(
    kind: str, target: str | type, *, skip: Collection[str] = (), **settings: Any
) -> tuple[Outcome, ...]:
    """Make every check of a kind.

    Args:
        target: the component's registered name, or its class.
        skip: checks that do not apply.
        settings: of the component; a method's may hold sections: ``backbone={"name": "timm"}``.

    Raises:
        ConformanceError: when one fails; the text has all failures, with remedies.
    """
    outcomes = tuple(run_checks(CheckTarget(kind, target, settings), skip))
    if any(outcome.state == "failed" for outcome in outcomes):
        raise ConformanceError(outcomes)
    return outcomes


def conformance(
    kind: str, target: str | type, *, skip: Collection[str] = (), **settings: Any
) -> Callable[[str], None]:
    """A pytest test with one case a check: ``test_conforms = conformance("method", "nnclr")``.

    Args:
        target, skip, settings: as :func:`check_component` takes them.
    """
    import pytest  # noqa: PLC0415 - only tests need it

    @cache
    def subject() -> CheckTarget:
        return CheckTarget(kind, target, settings)

    @pytest.mark.parametrize("check", [name for name in checks_of(kind) if name not in skip])
    def test_conforms(check: str) -> None:
        outcome = run_check(subject(), check)
        if outcome.state == "skipped":
            pytest.skip(outcome.what)
        if outcome.state == "failed":
            pytest.fail(str(outcome), pytrace=False)

    return test_conforms
