"""What must survive: a checkpoint, another seed, more processes, another number format."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_host.contracts.batch import merge_outputs
from ssl_host.contracts.method import Method
from ssl_host.testing.distributed import distance, run_distributed
from ssl_host.testing.harness import TOTAL_STEPS, MethodCase
from ssl_host.testing.method_checks import EXACT
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget
from ssl_host.toolkit.batchnorm import synchronise_batchnorm
from ssl_host.toolkit.distributed import rank, world_size

COUNT = 8
STEPS = 3


def same_seed(target: CheckTarget) -> str:
    """The same seed gives the same losses, to the last bit."""
    case = MethodCase(target)
    first, second = (case.train(case.fresh(seed=3), STEPS) for _ in range(2))
    for step, ((a, _), (b, _)) in enumerate(zip(first, second, strict=True)):
        if a != b:
            raise CheckFailure(
                f"the same seed gives the loss {a:.17g} and then {b:.17g} in step {step}",
                "no run could be repeated, and no resume could be exact",
                "draw random numbers by torch alone, which the host seeds before every step; "
                "keep nothing on the class or in a module's globals",
            )
    return ""


def resume(target: CheckTarget) -> str:
    """A copy that loads the checkpoint goes on bit by bit as the original does."""
    case = MethodCase(target)
    original = case.fresh(seed=0)
    case.train(original, STEPS)
    buffer = io.BytesIO()
    torch.save(original.state_dict(), buffer)
    twin = case.fresh(seed=1)
    buffer.seek(0)
    twin.load_state_dict(torch.load(buffer, weights_only=True))
    twin.progress = replace(twin.progress, step=STEPS, total_steps=TOTAL_STEPS)
    wanted = case.train(original, STEPS, start=STEPS)
    found = case.train(twin, STEPS, start=STEPS)
    for step, ((a, _), (b, _)) in enumerate(zip(wanted, found, strict=True)):
        if a != b:
            raise _lost(case, f"step {step + 1} after a resume has the loss {b:.9g}, not {a:.9g}")
    state = twin.state_dict()
    for name, value in original.state_dict().items():
        if not torch.equal(value, state[name]):
            raise _lost(case, f"{STEPS} steps after a resume {name} is another")
    return f"{len(state)} tensors"


def _lost(case: MethodCase, what: str) -> CheckFailure:
    outside = _unregistered(case.fresh())
    where = f"; not in state_dict(): {', '.join(outside)}" if outside else ""
    return CheckFailure(
        what + where,
        "a preempted run would go on as another one, silently, such as with an empty queue",
        "keep everything that changes in FeatureQueue, Schedule or register_buffer(), as "
        "attributes of the method made in setup(), not in lists, plain tensors or numbers",
    )


def one_process_equals_two(target: CheckTarget) -> str:
    """Two processes on half batches equal one on the whole: losses, gradients, state."""
    gradients, state = _steps(target)
    worst = 0.0
    for number, (found_gradients, found) in enumerate(run_distributed(_steps, target)):
        for step, (a, b) in enumerate(zip(found_gradients, gradients, strict=True)):
            gap = distance(a, b)
            worst = max(worst, gap)
            if gap > EXACT:
                ratio = float(a.norm() / b.norm())
                raise CheckFailure(
                    f"on two processes the gradient of step {step} is off by {gap:.1e} "
                    f"(process {number}, its norm is {ratio:.3g} times the right one)",
                    "with every further GPU another method would be trained",
                    "compare images over all processes by ssl_host.gather(z), which has a "
                    "gradient (dist.all_gather has none), offset labels by gather_offset(z), and "
                    "let the loss be the mean over this process's own images",
                )
        worst = max(worst, _compare_state(found, state))
    return f"to {worst:.0e}"


def _compare_state(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    worst = 0.0
    for name, value in wanted.items():
        ours = found[name]
        if name.endswith(".rows") and value.ndim == 2:
            # A queue's rows come in order of rank: the same ones, elsewhere.
            gaps = torch.cdist(ours, value)
            gap = float(torch.maximum(gaps.amin(dim=0).max(), gaps.amin(dim=1).max()))
        else:
            gap = distance(ours, value)
        worst = max(worst, gap)
        if gap > EXACT:
            raise CheckFailure(
                f"after {STEPS} steps on two processes {name} is off by {gap:.1e}",
                "state that differs between processes drifts apart for good",
                "push by FeatureQueue, which gathers, and compute statistics over gather(z)",
            )
    return worst


def _steps(target: CheckTarget) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    case = MethodCase(target)
    method = case.fresh()
    if method.sync_batchnorm:
        if world_size() > 1:
            synchronise_batchnorm(method)
    else:
        _fix_statistics(method)  # they are meant to be each process's own: all else is compared
    each = COUNT // world_size()
    share = slice(rank() * each, (rank() + 1) * each)
    kept = case.train(method, STEPS, count=COUNT, share=share)
    return [gradient for _, gradient in kept], {
        k: v.clone() for k, v in method.state_dict().items()
    }


def _fix_statistics(method: Method) -> None:
    for module in method.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def accumulation(target: CheckTarget) -> str:
    """What is kept from a step is the same when it is computed in two parts."""
    case = MethodCase(target)
    kept = []
    for number in (1, 2):
        method = case.fresh()
        _fix_statistics(method)  # batch norm over half a batch is another one, and says nothing
        outs = [
            case.step(method, case.batch(COUNT, chosen=part))
            for part in torch.arange(COUNT).chunk(number)
        ]
        method.finish_step(merge_outputs(outs), 0, TOTAL_STEPS)
        kept.append({name: b for name, b in method.named_buffers() if b.is_floating_point()})
    whole, halves = kept
    for name, value in whole.items():
        gap = distance(halves[name], value)
        if gap > EXACT:
            raise CheckFailure(
                f"computed in two parts, a step leaves another {name}, off by {gap:.1e}",
                "with [trainer] accumulate only the last part of each batch would count",
                "keep nothing of a step on self: return rows, StepOutput(..., enqueue={...}), for "
                "a FeatureQueue or a MovingAverage, which receive those of all micro-batches",
            )
    return f"{len(whole)} buffers"


def autocast(target: CheckTarget) -> str:
    """In bfloat16 loss and gradients stay finite, and the loss near that of float32."""
    case = MethodCase(target)
    batch = case.batch(16, dtype=torch.float32)
    plain = float(case.step(case.fresh(dtype=torch.float32), batch).loss.detach())
    method = case.fresh(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = case.step(method, batch).loss
    loss.backward()
    norms = [p.grad.norm() for _, p in method.trainable_parameters() if p.grad is not None]
    mixed = float(loss.detach())
    with torch.autocast("cpu", torch.bfloat16):
        case.train(case.fresh(dtype=torch.float32), 2)  # what follows a step meets bfloat16 too
    if not (torch.isfinite(loss) and torch.isfinite(torch.stack(norms)).all()):
        found = f"the loss is {mixed} or a gradient is not finite"
    elif abs(mixed - plain) > 0.2 * max(1.0, abs(plain)):
        found = f"the loss is {mixed:.4g}, and {plain:.4g} in float32"
    else:
        return f"{mixed:.4g}, in float32 {plain:.4g}"
    raise CheckFailure(
        f"in bfloat16 {found}",
        "it is what GPUs and newer CPUs choose by themselves",
        "compute losses in a Loss component, which the host calls in float32, or put "
        "torch.autocast(device_type, enabled=False) and .float() around sensitive sums",
    )


def _unregistered(method: nn.Module) -> list[str]:
    """Attributes that hold tensors or modules which state_dict does not know."""
    known = {id(t) for t in method.state_dict(keep_vars=True).values()}
    known |= {id(m) for m in method.modules()}
    found = []
    for owner, module in method.named_modules():
        for name, value in vars(module).items():
            if name.startswith("_") and name not in ("_buffers",):
                continue
            items: list[Any] = (
                list(value.values())
                if isinstance(value, dict)
                else list(value)
                if isinstance(value, list | tuple)
                else [value]
            )
            if any(isinstance(x, Tensor | nn.Module) and id(x) not in known for x in items):
                found.append(f"{owner}.{name}" if owner else name)
    return found
