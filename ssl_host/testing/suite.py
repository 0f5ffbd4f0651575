"""List the checks for each kind of component and run them, directly or in pytest."""

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
    baseline_checks,
    component_checks,
    data_checks,
    evaluator_checks,
    export_checks,
    gradient_checks,
    logger_checks,
    loss_checks,
    method_checks,
    method_state,
    method_training,
    network_checks,
    optimization_checks,
)
from ssl_host.testing.outcome import CheckFailure, ConformanceError, NotApplicable, Outcome
from ssl_host.testing.target import CheckTarget

Check = Callable[[CheckTarget], str]
"""Function that checks one property of a component and returns a remark, which may be empty.

It raises CheckFailure if the component does not have the property, and NotApplicable if the check
does not apply to it.
"""

_CHECKS_OF_EVERY_KIND: tuple[Check, ...] = (
    component_checks.documented,
    component_checks.settings_described,
    component_checks.import_without_torch,
)
_NETWORK: tuple[Check, ...] = (
    network_checks.output_shape,
    network_checks.gradients,
    network_checks.deterministic_in_eval_mode,
    network_checks.state_dict_round_trip,
    network_checks.autocast,
    network_checks.settings_declared,
)
_CHECKS_BY_KIND: dict[str, tuple[Check, ...]] = {
    "method": (
        method_checks.settings_declared,
        method_checks.finite_loss,
        method_checks.features_returned,
        gradient_checks.gradients,
        gradient_checks.ema_update,
        gradient_checks.stop_gradient,
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
        augmentation_checks.settings_declared,
        augmentation_checks.view_shapes,
        augmentation_checks.same_seed,
        augmentation_checks.batch_independence,
        augmentation_checks.varies_by_epoch,
        augmentation_checks.input_unchanged,
    ),
    "backbone": (*_NETWORK, network_checks.export),
    "head": _NETWORK,
    "loss": (
        loss_checks.settings_declared,
        loss_checks.finite_loss,
        loss_checks.degenerate_embeddings,
        loss_checks.batch_order,
        loss_checks.one_process_equals_two,
    ),
    "optimizer": (
        optimization_checks.settings_declared,
        optimization_checks.minimizes,
        optimization_checks.respects_lr,
        optimization_checks.keeps_group_keys,
        optimization_checks.resume,
    ),
    "scheduler": (optimization_checks.settings_declared, optimization_checks.factors),
    "evaluator": (
        evaluator_checks.settings_declared,
        evaluator_checks.metrics_are_finite,
        evaluator_checks.separates_classes,
        evaluator_checks.no_test_leakage,
        evaluator_checks.features_unchanged,
        evaluator_checks.works_without_labels,
    ),
    "baseline": (
        baseline_checks.settings_declared,
        baseline_checks.features_are_rows,
        baseline_checks.batch_independence,
        baseline_checks.input_unchanged,
    ),
    "data": (
        data_checks.settings_declared,
        data_checks.images_are_uint8,
        data_checks.labels_are_valid,
        data_checks.splits_are_disjoint,
        data_checks.concurrent_reads,
    ),
    "logger": (logger_checks.settings_declared, logger_checks.logs_a_run),
    "exporter": (
        export_checks.settings_declared,
        export_checks.writes_files,
        export_checks.refuses_with_a_reason,
        export_checks.backbone_unchanged,
    ),
}


def checks_of(kind: str) -> dict[str, Check]:
    """Return the checks for a kind of component, keyed by the name of the check.

    Raises:
        UserError: when the kind is unknown.
    """
    if kind not in KINDS:
        raise UserError(f"unknown kind {kind!r}; the kinds are {', '.join(KINDS)}")
    return {
        check.__name__: check for check in (*_CHECKS_OF_EVERY_KIND, *_CHECKS_BY_KIND.get(kind, ()))
    }


def run_check(target: CheckTarget, name: str) -> Outcome:
    """Run one check and return its outcome; it is ``failed`` if the component raises an error.

    Args:
        target: the component.
        name: name of the check, as in :func:`checks_of`.
    """
    check = checks_of(target.kind)[name]
    try:
        return Outcome(name, str(target), "passed", check(target))
    except NotApplicable as reason:
        return Outcome(name, str(target), "skipped", str(reason))
    except CheckFailure as failure:
        return Outcome(name, str(target), "failed", failure.what, failure.why, failure.fix)
    except Exception as error:
        summary = (check.__doc__ or "").strip().partition("\n")[0]
        why = f"this check did not complete: {summary}"
        fix = (
            "do what the error message says"
            if isinstance(error, SslHostError)
            else "start at the location above: it is the last line of the component's own code"
        )
        return Outcome(name, str(target), "failed", _describe(target, error), why, fix)


def _describe(target: CheckTarget, error: Exception) -> str:
    """Return the message of an exception, with the line of the component that caused it."""
    if isinstance(error, SslHostError):
        return str(error)
    if type(error).__name__ == "ProcessRaisedException":  # its text is a remote traceback
        return str(error).strip().splitlines()[-1]
    try:
        module = target.cls.__module__
    except SslHostError:
        module = ""
    last = traceback.format_exception_only(error)[-1].strip()
    return f"{last} ({error_location(error, module)})"


def run_checks(
    target: CheckTarget, skip: Collection[str] = (), only: Collection[str] = ()
) -> Iterator[Outcome]:
    """Run the checks of a component and yield the outcome of each.

    Args:
        target: the component.
        skip: names of checks to skip; explain why in the component's docstring.
        only: names of the checks to run; if empty, all checks run.

    Raises:
        UserError: when a name in ``skip`` or ``only`` is not a check for this kind.
    """
    known = checks_of(target.kind)
    unknown = [name for name in (*skip, *only) if name not in known]
    if unknown:
        raise UserError(
            f"there is no check '{unknown[0]}' for {target.kind} components; the checks are "
            f"{', '.join(known)}"
        )
    reported = ""
    for name in known:
        if name not in skip and (not only or name in only):
            outcome = run_check(target, name)
            if outcome.state == "failed" and outcome.what == reported:
                outcome = replace(outcome, what="as above", why="", fix="")
            elif outcome.state == "failed":
                reported = outcome.what
            yield outcome


def check_component(
    kind: str, target: str | type, *, skip: Collection[str] = (), **settings: Any
) -> tuple[Outcome, ...]:
    """Run all checks of a component and return their outcomes.

    Args:
        kind: kind of the component, such as ``method``.
        target: registered name or class of the component.
        skip: names of checks to skip.
        settings: settings of the component; for a method they may include whole sections, such as
            ``backbone={"name": "timm"}``.

    Raises:
        ConformanceError: when a check fails; the message lists all failures and how to fix them.
        UserError: when the kind or a check to skip is unknown.
    """
    outcomes = tuple(run_checks(CheckTarget(kind, target, settings), skip))
    if any(outcome.state == "failed" for outcome in outcomes):
        raise ConformanceError(outcomes)
    return outcomes


def conformance(
    kind: str, target: str | type, *, skip: Collection[str] = (), **settings: Any
) -> Callable[[str], None]:
    """Return a pytest function with one test case for each check.

    Assign it to a name that pytest collects: ``test_conforms = conformance("method", "nnclr")``.

    Args:
        kind: kind of the component, such as ``method``.
        target: registered name or class of the component.
        skip: names of checks to skip.
        settings: settings of the component, as for :func:`check_component`.
    """
    import pytest  # noqa: PLC0415 - only tests need it

    @cache
    def check_target() -> CheckTarget:
        return CheckTarget(kind, target, settings)

    @pytest.mark.parametrize("check", [name for name in checks_of(kind) if name not in skip])
    def test_conforms(check: str) -> None:
        outcome = run_check(check_target(), check)
        if outcome.state == "skipped":
            pytest.skip(outcome.what)
        if outcome.state == "failed":
            pytest.fail(str(outcome), pytrace=False)

    return test_conforms
