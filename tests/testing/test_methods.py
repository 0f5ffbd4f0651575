"""The kit catches every fault that is put into a good method, and leaves good ones in peace."""

import pytest

from ssl_host.testing import CheckTarget, ConformanceError, check_method
from ssl_host.testing.suite import checks_of, run_check
from tests.testing import faulty, faulty_averages

FAULTS = {
    "StopGradientForgotten": ("stop_gradient", "gets a gradient around the predictor"),
    "MomentumCopyTrained": ("gradients", "the momentum copy's ema_projector"),
    "MomentumCopyUnused": ("ema_update", "does not use ema_backbone"),
    "MovesItsCopies": ("ema_update", "off τ"),
    "QueueNotInTheCheckpoint": ("resume", "not in state_dict(): rows"),
    "OfTheFirstImage": ("batch_order", "in another order"),
    "PushedBeforeTheLookUp": ("step_is_pure", "pushes into queue itself"),
    "NoQueueOfThatName": ("step_is_pure", "the method has no self.bank with a push(rows)"),
    "Contrasting": ("one_process_equals_two", "the gradient of step 0 is off"),
    "Undeclared": ("settings_declared", "reads config.sharpness, which Config does not declare"),
    "UndeclaredWithDefault": ("settings_declared", "reads config.sharpness"),
    "NoFeatures": ("features_returned", "StepOutput has no features"),
    "BareLoss": ("finite_loss", "step returned Tensor"),
    "Unbiased": ("finite_loss", "at a batch of 2 the loss is nan"),
    "Unseeded": ("same_seed", "the same seed gives the loss"),
    "Idle": ("gradients", "spare.weight gets no gradient"),
    "Undocumented": ("documented", "has no docstring"),
    "WithoutSource": ("documented", "names no source"),
    "Unbounded": ("settings_described", "weight is a number without bounds"),
    "Crashing": ("finite_loss", "AttributeError: 'list' object has no attribute 'views'"),
    "Collapsing": ("no_collapse", "outputs of all images are nearly the same"),
    "Stashing": ("accumulation", "computed in two parts, a step leaves another centre.mean"),
    "CentringInTheStep": ("step_is_pure", "pushes into centre itself"),
    "FrozenByHand": ("gradients", "gets no gradient in the first step, and one later"),
    "FloatExpected": ("autocast", "expected dtype float"),
    "EncoderMisspelt": ("finite_loss", "encoder names 'momentum_bakbone', which is no part of it"),
    "MomentumOfNothing": ("finite_loss", "momentum names 'prototypes', which is no part of it"),
}


def of(name):
    """The class of a name, in either file."""
    return getattr(faulty, name, None) or getattr(faulty_averages, name)


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_caught_with_what_why_and_how(name):
    check, words = FAULTS[name]
    outcome = run_check(CheckTarget("method", of(name)), check)
    assert outcome.state == "failed"
    assert words in outcome.what
    assert outcome.why
    assert outcome.fix


@pytest.mark.parametrize(
    "name", ["Predicting", "Following", "Neighbours", "ContrastingWell", "Centring"]
)
def test_a_good_method_passes_every_check(name):
    """The same classes without their fault: no check cries wolf."""
    outcomes = check_method(of(name))
    assert {o.check for o in outcomes} == set(checks_of("method"))
    skipped = {o.check: o.what for o in outcomes if o.state == "skipped"}
    assert all(skipped.values())
    assert "no_collapse" not in skipped


def test_all_failures_come_together_and_checks_can_be_left_out():
    with pytest.raises(ConformanceError) as caught:
        check_method(faulty.NoFeatures, skip=["one_process_equals_two", "no_collapse"])
    failed = [o.check for o in caught.value.outcomes if o.state == "failed"]
    assert "features_returned" in failed
    assert "how to fix it: return StepOutput(loss, features=h)" in str(caught.value)


def test_one_cause_is_told_once():
    """A method that cannot be built fails every check by the same sentence."""
    with pytest.raises(ConformanceError) as caught:
        check_method(faulty_averages.EncoderMisspelt)
    assert str(caught.value).count("names 'momentum_bakbone'") == 1
    assert str(caught.value).count("as above") > 5


def test_a_fault_outside_the_contract_points_at_the_authors_line():
    outcome = run_check(CheckTarget("method", faulty.Crashing), "gradients")
    assert "faulty.py:" in outcome.what
