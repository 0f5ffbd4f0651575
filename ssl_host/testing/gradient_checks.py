"""Check that a method's parameters get gradients, and its EMA copies and targets get none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_host.contracts.batch import Progress
from ssl_host.contracts.method import Method
from ssl_host.testing.distributed import distance
from ssl_host.testing.harness import TOTAL_STEPS, MethodCase
from ssl_host.testing.method_checks import TOLERANCE
from ssl_host.testing.outcome import CheckFailure, NotApplicable
from ssl_host.testing.target import CheckTarget


def gradients(target: CheckTarget) -> str:
    """Check that all trainable parameters get gradients, and EMA copies get none."""
    case = MethodCase(target)
    method = case.fresh()
    case.step(method, case.batch(8)).loss.backward()
    trained_late = _trained_in_last_step(case)
    copies = tuple(f"ema_{name}." for name in method.ema)
    count = 0
    for name, parameter in method.named_parameters():
        if name.startswith(copies):
            _require_no_gradient(name, parameter)
        elif parameter.requires_grad:
            if method.needs_tokens and name.startswith("backbone.") and parameter.grad is None:
                continue  # for example the norm of pooled features
            _require_gradient(name, parameter, name in trained_late)
            count += 1
    return f"{count} parameters"


def _require_no_gradient(name: str, parameter: nn.Parameter) -> None:
    """Raise CheckFailure if a parameter of an EMA copy is trained."""
    if parameter.requires_grad or parameter.grad is not None:
        raise CheckFailure(
            f"the EMA copy's parameter {name} is trained",
            "the target would follow the loss instead of averaging the network",
            "leave EMA copies to the host: declare `ema = (...)`, and do not set requires_grad "
            "on them",
        )


def _require_gradient(name: str, parameter: nn.Parameter, trained_late: bool) -> None:
    """Raise CheckFailure if a parameter has no gradient in the first or in the last step.

    Args:
        name: name of the parameter.
        parameter: the parameter, after the first step.
        trained_late: True if the parameter gets a gradient in the last step.
    """
    if not trained_late:
        raise CheckFailure(
            f"{name} gets no gradient",
            "it keeps its initial value without any warning",
            "use it in the step, or freeze it with requires_grad_(False) in setup()",
        )
    if parameter.grad is None:
        raise CheckFailure(
            f"{name} gets no gradient in the first step, but gets one later",
            "data-parallel training exchanges all gradients in each step and stops when one is "
            "missing",
            "use it in every step; to freeze it at first, use ParamGroup(name, params, "
            "frozen_until=0.01) in param_groups()",
        )


def _trained_in_last_step(case: MethodCase) -> set[str]:
    """Return the names of the parameters that get a gradient in the last step of a run."""
    method = case.fresh()
    case.train(method, 2)  # zero-initialised branches block gradients at first
    method.zero_grad()
    method.progress = Progress(TOTAL_STEPS - 1, TOTAL_STEPS, 1)
    case.step(method, case.batch(8)).loss.backward()
    return {
        name
        for name, p in method.named_parameters()
        if p.grad is not None and (p.ndim < 2 or bool(p.grad.any()))
    }


def ema_update(target: CheckTarget) -> str:
    """Check that a step uses the EMA copies, and that the host updates them only after it."""
    case = MethodCase(target)
    method = case.fresh()
    if not method.ema:
        raise NotApplicable("it has no EMA copies")
    case.train(method, 1)
    used: set[str] = set()
    for name in method.ema:
        copy = getattr(method, f"ema_{name}")
        # Hook all modules of the copy, because a method may use tokens() instead of forward().
        for module in copy.modules():
            module.register_forward_hook(lambda *_, name=name: used.add(name))
    before = _copied_parameters(method)
    optimizer = torch.optim.SGD([p for _, p in method.trainable_parameters()], lr=0.1)
    out = case.step(method, case.batch(8))
    out.loss.backward()
    unused = [name for name in method.ema if name not in used]
    if unused:
        raise CheckFailure(
            f"the step does not use ema_{unused[0]}",
            "the targets come from the trained network instead of its EMA copy",
            f"compute the targets by self.ema_{unused[0]} under torch.no_grad()",
        )
    optimizer.step()
    if any(distance(a, b) > 0 for a, b in zip(before, _copied_parameters(method), strict=True)):
        raise CheckFailure(
            "the step updates EMA copies itself",
            "a step of several micro-batches would update them several times",
            "leave it to the host, which updates them once after each optimizer step",
        )
    decay = float(method.ema_decay)
    online = [p for name in method.ema for p in getattr(method, name).parameters()]
    expected = [decay * a + (1 - decay) * b for a, b in zip(before, online, strict=True)]
    method.finish_step(out, 1, TOTAL_STEPS)
    actual = _copied_parameters(method)
    error = max(distance(a, b) for a, b in zip(actual, expected, strict=True))
    if error > TOLERANCE:
        raise CheckFailure(
            f"after the step the copies differ by {error:.1e} from ema_decay · copy + "
            "(1 − ema_decay) · network",
            "the actual decay differs from the one in the logs and checkpoints",
            "do not override finish_step(), and do not change copies in after_optimizer_step()",
        )
    return f"ema_decay = {decay:.4g}"


def _copied_parameters(method: Method) -> list[Tensor]:
    """Return the current values of all parameters of the EMA copies."""
    copies = [getattr(method, f"ema_{name}") for name in method.ema]
    return [p.detach().clone() for copy in copies for p in copy.parameters()]


def stop_gradient(target: CheckTarget) -> str:
    """Check that gradients flow only through the predictor, so that targets get none."""
    case = MethodCase(target)
    method = case.fresh()
    predictors = [name for name, feeder in method.heads.items() if feeder in method.heads]
    if not predictors:
        raise NotApplicable("it has no predictor (a head that is fed by another head)")
    for name in predictors:
        getattr(method, name).register_forward_pre_hook(lambda _, inputs: (inputs[0].detach(),))
    case.step(method, case.batch(8)).loss.backward()
    reached = [
        name
        for name, parameter in method.trainable_parameters()
        if name.split(".", 1)[0] not in predictors
        and parameter.grad is not None
        and bool(parameter.grad.any())
    ]
    if reached:
        raise CheckFailure(
            f"{reached[-1]} gets a gradient that bypasses the predictor",
            "targets that follow the predictions make all outputs collapse to one point "
            "(SimSiam, arXiv:2011.10566, section 4.1)",
            "detach the targets, as in self.loss(p1, z2.detach()); if the method is intended to "
            "learn through both branches, pass skip=['stop_gradient'] and explain it in its "
            "docstring",
        )
    return f"all gradients pass through {', '.join(predictors)}"
