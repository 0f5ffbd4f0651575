"""The checks of each kind, and how they are run: one by one, by pytest, or all at once."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from ssl_host.catalog.registry import error_location
from ssl_host.contracts.component import KINDS
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
_OF_KIND: dict[str, tuple[Check, ...]] = {
    "method": (
        method_checks.settings_declared,
        method_checks.finite_loss,
        method_checks.features_returned,
        method_checks.gradients,
        method_checks.ema_update,
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
        network_checks.settings_declared,
        network_checks.finite_loss,
        network_checks.degenerate_embeddings,
        network_checks.batch_order,
        network_checks.one_process_equals_two,
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
        measuring_checks.settings_declared,
        measuring_checks.metrics_are_finite,
        measuring_checks.separates_classes,
        measuring_checks.no_test_leakage,
        measuring_checks.features_unchanged,
        measuring_checks.works_without_labels,
    ),
    "data": (
        data_checks.settings_declared,
        data_checks.images_are_uint8,
        data_checks.labels_are_valid,
        data_checks.splits_are_disjoint,
        data_checks.concurrent_reads,
    ),
    "logger": (measuring_checks.settings_declared, measuring_checks.logs_a_run),
}


def checks_of(kind: str) -> dict[str, Check]:
    """The checks of a kind by name; a check's docstring says what it promises.

    Raises:
        UserError: for an unknown kind.
    """
    if kind not in _OF_KIND:
        raise UserError(f"unknown kind {kind!r}; kinds are {', '.join(KINDS)}")
    return {check.__name__: check for check in (*_EVERY, *_OF_KIND[kind])}


def run_check(target: CheckTarget, name: str) -> Outcome:
    """One check, its failure contained. Whatever a component raises is a failure with a place."""
    try:
        return Outcome(name, str(target), "passed", checks_of(target.kind)[name](target))
    except NotApplicable as reason:
        return Outcome(name, str(target), "skipped", str(reason))
    except CheckFailure as fault:
        return Outcome(name, str(target), "failed", fault.what, fault.why, fault.fix)
    except KeyboardInterrupt:
        raise
    except Exception as error:
        return Outcome(
            name,
            str(target),
            "failed",
            _raised(target, error),
            f"this was being checked: {(checks_of(target.kind)[name].__doc__ or '').strip()}",
            "it says what to do"
            if isinstance(error, SslHostError)
            else "the place above is the component's own line, where the fault came up",
        )


def _raised(target: CheckTarget, error: Exception) -> str:
    if isinstance(error, SslHostError):
        return str(error)
    if type(error).__name__ == "ProcessRaisedException":  # the text is the process's traceback
        return str(error).strip().splitlines()[-1]
    try:
        module = target.cls.__module__
    except SslHostError:
        module = ""
    place = error_location(error, module)
    last = traceback.format_exception_only(error)[-1].strip()
    return f"{last} ({place})"


def run_checks(
    target: CheckTarget, skip: Collection[str] = (), only: Collection[str] = ()
) -> Iterator[Outcome]:
    """All checks of a target, one by one.

    Args:
        skip: names of checks that are not to be made, each for a reason that its docstring tells.
        only: if given, the names of those that are.

    Raises:
        UserError: for a name that is no check's.
    """
    known = checks_of(target.kind)
    wrong = [name for name in (*skip, *only) if name not in known]
    if wrong:
        raise UserError(f"no check of a {target.kind} is called {wrong[0]}: {', '.join(known)}")
    told = ""
    for name in known:
        if name not in skip and (not only or name in only):
            outcome = run_check(target, name)
            if outcome.state == "failed" and outcome.what == told:
                outcome = replace(outcome, what="as above", why="", fix="")
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
    def target() -> CheckTarget:
        return CheckTarget(kind, target, settings)

    @pytest.mark.parametrize("check", [name for name in checks_of(kind) if name not in skip])
    def test_conforms(check: str) -> None:
        outcome = run_check(target(), check)
        if outcome.state == "skipped":
            pytest.skip(outcome.what)
        if outcome.state == "failed":
            pytest.fail(str(outcome), pytrace=False)

    return test_conforms
