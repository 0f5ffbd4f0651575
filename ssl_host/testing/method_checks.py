"""Checks of one step of an SSL method: its loss, features, side effects and settings."""

from __future__ import annotations

import torch

from ssl_host.testing.component_checks import check_recorded_reads, track_reads
from ssl_host.testing.distributed import distance
from ssl_host.testing.harness import LOCAL_SIZE, MethodCase
from ssl_host.testing.outcome import CheckFailure, NotApplicable
from ssl_host.testing.target import CheckTarget
from ssl_host.toolkit.ema import MovingAverage
from ssl_host.toolkit.memory_bank import MemoryBank
from ssl_host.toolkit.queue import FeatureQueue
from ssl_host.train.param_groups import make_optimizer

TOLERANCE = 1e-9
"""Largest relative error, in float64, of results that are equal in exact arithmetic."""
BATCH_SIZES = (2, 5, 33)
"""Small, odd and large batch sizes that checks try."""


def settings_declared(target: CheckTarget) -> str:
    """Check that the method reads only settings that its Config declares."""
    case = MethodCase(target)
    settings, read, unknown = track_reads(case.config.components["method"].settings)
    experiment = case.experiment(settings=settings)
    method = experiment.method.double().train()
    make_optimizer(method, experiment.optimizer, 0.1)  # also checks the parameter groups
    try:
        case.train(method, 2)
    except AttributeError:
        if not unknown:  # the error has a different cause
            raise
    recipe = str(dict(target.cls.recipe))
    referenced = {n for n in target.cls.Config.model_fields if f"${{method.{n}}}" in recipe}
    return check_recorded_reads(target, read, unknown, referenced)


def finite_loss(target: CheckTarget) -> str:
    """Check that the loss is a finite scalar with a gradient for batch sizes 2, 5 and 33."""
    case = MethodCase(target)
    method = case.fresh()
    for count in BATCH_SIZES:
        loss = case.step(method, case.batch(count)).loss
        if not torch.isfinite(loss):
            raise CheckFailure(
                f"the loss of a batch of {count} is {loss.detach().tolist()}",
                "the last batch of a process may be small, and a single nan ends a long run",
                "take the mean over images, and add an epsilon to divisors and logarithms",
            )
    return f"batches of {', '.join(map(str, BATCH_SIZES))}"


def features_returned(target: CheckTarget) -> str:
    """Check that a step returns the backbone's features (B, D), detached from the graph."""
    case = MethodCase(target)
    method = case.fresh()
    features = case.step(method, case.batch(6)).features
    if features is None:
        raise CheckFailure(
            "StepOutput has no features",
            "the online probe and the collapse warning need them",
            "return StepOutput(loss, features=h) with the backbone's features of one view",
        )
    expected = (6, method.backbone.feature_dim)
    if tuple(features.shape) != expected or features.requires_grad:
        raise CheckFailure(
            f"features have the shape {tuple(features.shape)}"
            + (" and a gradient" if features.requires_grad else ""),
            "the online probe expects features of the backbone, and must not train the backbone",
            f"return the backbone's output for one view, here of shape {expected}",
        )
    return f"{expected[1]} numbers per image"


def is_running_statistic(name: str) -> bool:
    """Return True if a buffer contains statistics that a norm collects in training."""
    return name.rpartition(".")[2].startswith(("running_", "num_batches_tracked"))


def step_is_pure(target: CheckTarget) -> str:
    """Check that a step changes no state, such as a queue, except batch-norm statistics.

    Running averages of other norms, buffers whose names start with ``running_``, may change too.
    """
    case = MethodCase(target)
    method = case.fresh()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    out = case.step(method, case.batch(8))
    for name, value in method.state_dict().items():
        if is_running_statistic(name) or torch.equal(before[name], value):
            continue
        owner = name.rpartition(".")[0]
        if isinstance(method.get_submodule(owner), FeatureQueue | MovingAverage | MemoryBank):
            raise CheckFailure(
                f"step() itself pushes rows into {owner}",
                "an image could be compared with its own features, and a step of several "
                "micro-batches would push several times",
                "return the rows as StepOutput(loss, ..., enqueue={'queue': z1}); the host pushes "
                "them after the optimizer step",
            )
        raise CheckFailure(
            f"the step changes {name}",
            "a step of several micro-batches would change it several times",
            "change it in after_optimizer_step(), which runs once after each optimizer step",
        )
    for name, rows in out.enqueue.items():
        call = "push" if isinstance(rows, torch.Tensor) else "put"
        if not callable(getattr(getattr(method, name, None), call, None)):
            takes = "push(rows)" if call == "push" else "put(index, rows)"
            raise CheckFailure(
                f"enqueue names '{name}', but the method has no self.{name} with {takes}",
                "the host cannot store the rows",
                f"create self.{name} = FeatureQueue(size, dim), MovingAverage(dim, momentum) or, "
                "for pairs (index, rows), MemoryBank(num_rows, dim) in setup()",
            )
    return f"rows for {', '.join(out.enqueue)}" if out.enqueue else ""


def batch_order(target: CheckTarget) -> str:
    """Check that the loss does not depend on the order of the images in the batch."""
    case = MethodCase(target)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    expected = case.step(case.fresh(), case.batch(9)).loss.detach()
    shuffled = case.step(case.fresh(), case.batch(9, positions=order)).loss.detach()
    error = distance(shuffled, expected)
    if error > TOLERANCE:
        raise CheckFailure(
            f"with the images in a different order the loss is {float(shuffled):.9g} instead of "
            f"{float(expected):.9g}",
            "training would depend on how files are sorted and batches are split",
            "look for a wrong index, a chunk() or reshape() that mixes images with views, a "
            "statistic over only some of the images, or torch's random numbers, which depend on "
            "the position in the batch (use batch.rng instead, for example for masks); if this is "
            "intended, as with shuffled keys, pass skip=['batch_order']",
        )
    return f"error {error:.0e}"


def multicrop(target: CheckTarget) -> str:
    """Check that the loss is finite with additional small views, if supports_multicrop is set."""
    if not target.cls.supports_multicrop:
        raise NotApplicable("it accepts full-size views only, and the host refuses small ones")
    crops = {"augmentation": {"name": "multicrop", "num_local": 3, "local_size": LOCAL_SIZE}}
    case = MethodCase(CheckTarget(target.kind, target.component, {**target.settings, **crops}))
    method = case.fresh()
    batch = case.batch(6)
    loss = case.step(method, batch).loss
    if not torch.isfinite(loss):
        raise CheckFailure(
            f"with {len(batch.views)} views the loss is {float(loss)}",
            "supports_multicrop = True promises a finite loss",
            "use batch.views[:batch.num_global] as the full-size views and the rest as small ones",
        )
    return f"{len(batch.views)} views, {batch.num_global} of full size"
