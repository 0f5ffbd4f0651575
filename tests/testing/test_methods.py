"""Tests that the kit finds each fault in otherwise correct methods, and passes correct ones."""

import pytest

from ssl_host.testing import CheckTarget, ConformanceError, check_method
from ssl_host.testing.suite import checks_of, run_check
from tests.testing import faulty, faulty_averages

FAULTS = {
    "StopGradientForgotten": ("stop_gradient", "gradient that bypasses the predictor"),
    "EMACopyTrained": ("gradients", "EMA copy's parameter ema_projector"),
    "EMACopyUnused": ("ema_update", "does not use ema_backbone"),
    "UpdatesEMACopies": ("ema_update", "from ema_decay · copy"),
    "QueueNotInCheckpoint": ("resume", "not in state_dict(): rows"),
    "DependsOnFirstImage": ("batch_order", "in a different order"),
    "PushesBeforeLookup": ("step_is_pure", "pushes rows into queue"),
    "UnknownQueueName": ("step_is_pure", "the method has no self.bank with push(rows)"),
    "Contrasting": ("one_process_equals_two", "the gradient of step 0 is off"),
    "Undeclared": ("settings_declared", "reads config.sharpness, which Config does not declare"),
    "UndeclaredWithDefault": ("settings_declared", "reads config.sharpness"),
    "NoFeatures": ("features_returned", "StepOutput has no features"),
    "BareLoss": ("finite_loss", "step returned Tensor"),
    "NanForTwoImages": ("finite_loss", "the loss of a batch of 2 is nan"),
    "Unseeded": ("same_seed", "the same seed gives the loss"),
    "UnusedLayer": ("gradients", "unused.weight gets no gradient"),
    "Undocumented": ("documented", "has no docstring"),
    "WithoutSource": ("documented", "names no source"),
    "Unbounded": ("settings_described", "weight is a number without bounds"),
    "Crashing": ("finite_loss", "AttributeError: 'list' object has no attribute 'views'"),
    "Collapsing": ("no_collapse", "outputs of all images are nearly the same"),
    "KeepsRowsOnSelf": (
        "accumulation",
        "after a step of two micro-batches centre.mean is off by",
    ),
    "PushesInStep": ("step_is_pure", "pushes rows into centre"),
    "FreezesInStep": ("gradients", "gets no gradient in the first step, but"),
    "ExpectsFloat32": ("autocast", "expected dtype float"),
    "LeavesOutParameters": ("settings_declared", "param_groups() leaves out predictor"),
    "UnknownEncoder": ("finite_loss", "names 'ema_bakbone'"),
    "UnknownEMA": ("finite_loss", "names 'prototypes'"),
}


def method_class(name):
    """Return a class of either module by name."""
    return getattr(faulty, name, None) or getattr(faulty_averages, name)


@pytest.mark.parametrize("name", FAULTS)
def test_check_fails_on_faulty_method_with_message_reason_and_fix(name):
    check, message = FAULTS[name]
    outcome = run_check(CheckTarget("method", method_class(name)), check)
    assert outcome.state == "failed"
    assert message in outcome.what
    assert outcome.why
    assert outcome.fix


@pytest.mark.parametrize(
    "name", ["Predicting", "Following", "Neighbours", "ContrastingCorrectly", "Centring"]
)
def test_all_checks_pass_on_correct_method(name):
    outcomes = check_method(method_class(name))
    assert {o.check for o in outcomes} == set(checks_of("method"))
    skipped = {o.check: o.what for o in outcomes if o.state == "skipped"}
    assert all(skipped.values())
    assert "no_collapse" not in skipped


def test_check_method_reports_all_failures_and_skips_named_checks():
    with pytest.raises(ConformanceError) as caught:
        check_method(faulty.NoFeatures, skip=["one_process_equals_two", "no_collapse"])
    failed = [o.check for o in caught.value.outcomes if o.state == "failed"]
    assert "features_returned" in failed
    assert "how to fix it: return StepOutput(loss, features=h)" in str(caught.value)


def test_check_method_prints_repeated_message_once():
    """A method that cannot be built fails every check with the same message."""
    with pytest.raises(ConformanceError) as caught:
        check_method(faulty_averages.UnknownEncoder)
    assert str(caught.value).count("names 'ema_bakbone'") == 1
    assert str(caught.value).count("as above") > 5


def test_unexpected_exception_is_reported_with_line_of_component():
    outcome = run_check(CheckTarget("method", faulty.Crashing), "gradients")
    assert "faulty.py:" in outcome.what
