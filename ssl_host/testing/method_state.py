"""Check that repeated, resumed and distributed training gives the same results.

Two further checks split a step into micro-batches and run it under autocast.
"""

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
from ssl_host.testing.method_checks import TOLERANCE, is_running_statistic
from ssl_host.testing.outcome import CheckFailure
from ssl_host.testing.target import CheckTarget
from ssl_host.toolkit.batchnorm import synchronise_batchnorm
from ssl_host.toolkit.bf16_conv_workaround import run_padding_only_convs_in_float32
from ssl_host.toolkit.distributed import rank, world_size

BATCH_SIZE = 8
NUM_STEPS = 3


def same_seed(target: CheckTarget) -> str:
    """Check that two training runs with the same seed have bit-identical losses at every step."""
    case = MethodCase(target)
    first, second = (case.train(case.fresh(seed=3), NUM_STEPS) for _ in range(2))
    for step, ((a, _), (b, _)) in enumerate(zip(first, second, strict=True)):
        if a != b:
            raise CheckFailure(
                f"the same seed gives the loss {a:.17g}, then {b:.17g} in step {step}",
                "a resumed run would differ from one that was never interrupted",
                "draw random numbers from torch, which the host seeds before every step; keep no "
                "state on the class or in a module's globals",
            )
    return ""


def resume(target: CheckTarget) -> str:
    """Check that a method restored from its state dict continues with bit-identical results."""
    case = MethodCase(target)
    original = case.fresh(seed=0)
    case.train(original, NUM_STEPS)
    buffer = io.BytesIO()
    torch.save(original.state_dict(), buffer)
    restored = case.fresh(seed=1)
    restored.plan = original.plan  # only the weights should depend on the seed
    for name in original.frozen:  # not in the state dict
        getattr(restored, name).load_state_dict(getattr(original, name).state_dict())
    buffer.seek(0)
    restored.load_state_dict(torch.load(buffer, weights_only=True))
    restored.progress = replace(restored.progress, step=NUM_STEPS, total_steps=TOTAL_STEPS)
    expected = case.train(original, NUM_STEPS, start=NUM_STEPS)
    actual = case.train(restored, NUM_STEPS, start=NUM_STEPS)
    for step, ((a, _), (b, _)) in enumerate(zip(expected, actual, strict=True)):
        if a != b:
            raise _lost_state_failure(
                case, f"step {step + 1} after a resume has the loss {b:.9g} instead of {a:.9g}"
            )
    state = restored.state_dict()
    for name, value in original.state_dict().items():
        if not torch.equal(value, state[name]):
            raise _lost_state_failure(case, f"{NUM_STEPS} steps after a resume {name} differs")
    return f"{len(state)} tensors"


def _lost_state_failure(case: MethodCase, what: str) -> CheckFailure:
    """Return the failure for lost state; it lists the attributes missing from the state dict.

    Args:
        case: the method under test.
        what: what is wrong, as the beginning of the message.
    """
    unregistered = _unregistered_attributes(case.fresh())
    location = f"; not in state_dict(): {', '.join(unregistered)}" if unregistered else ""
    return CheckFailure(
        what + location,
        "an interrupted run would continue with different state, such as an empty queue, without "
        "an error",
        "keep all state that changes in a FeatureQueue, a Schedule or a buffer (register_buffer()) "
        "that setup() creates, not in lists, plain tensors or numbers",
    )


def one_process_equals_two(target: CheckTarget) -> str:
    """Check that two processes compute the same gradients and state as one process."""
    gradients, state = _train_share(target)
    largest = 0.0
    for process, (shared_gradients, shared_state) in enumerate(
        run_distributed(_train_share, target)
    ):
        for step, (a, b) in enumerate(zip(shared_gradients, gradients, strict=True)):
            error = distance(a, b)
            largest = max(largest, error)
            if error > TOLERANCE:
                ratio = float(a.norm() / b.norm())
                raise CheckFailure(
                    f"on two processes the gradient of step {step} is off by {error:.1e} "
                    f"(process {process}: its norm is {ratio:.3g} times the expected one)",
                    "the result would depend on the number of GPUs",
                    "draw random numbers of an image from batch.rng, compare images over all "
                    "processes with ssl_host.gather(z), which has a "
                    "gradient (dist.all_gather does not), offset labels by gather_offset(z), and "
                    "take the mean over this process's own images as the loss",
                )
        largest = max(largest, _compare_state(shared_state, state))
    return f"error {largest:.0e}"


def _compare_state(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Return the largest relative error of the state after the last step.

    Raises:
        CheckFailure: when the error is above the tolerance.
    """
    largest = 0.0
    for name, value in expected.items():
        if name.endswith(".rows") and value.ndim == 2:
            # Queues contain the same rows in a different order, because rows are gathered by rank.
            distances = torch.cdist(
                actual[name], value, compute_mode="donot_use_mm_for_euclid_dist"
            )
            error = float(torch.maximum(distances.amin(dim=0).max(), distances.amin(dim=1).max()))
        else:
            error = distance(actual[name], value)
        largest = max(largest, error)
        if error > TOLERANCE:
            raise CheckFailure(
                f"after {NUM_STEPS} steps on two processes {name} is off by {error:.1e}",
                "state that differs between processes drifts further apart with every step",
                "push to a FeatureQueue, which gathers, and compute statistics over gather(z)",
            )
    return largest


def _train_share(target: CheckTarget) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Train on this process's share of each batch; return all gradients and the final state."""
    case = MethodCase(target)
    method = case.fresh()
    if not method.sync_batchnorm:
        _freeze_batchnorm(method)  # batch statistics differ between processes by design
    elif world_size() > 1:
        synchronise_batchnorm(method)
    size = BATCH_SIZE // world_size()
    share = slice(rank() * size, (rank() + 1) * size)
    steps = case.train(method, NUM_STEPS, count=BATCH_SIZE, share=share)
    state = {name: value.clone() for name, value in method.state_dict().items()}
    return [gradient for _, gradient in steps], state


def _freeze_batchnorm(method: Method) -> None:
    """Put all batch norms into evaluation mode, so that they ignore batch statistics."""
    for module in method.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def accumulation(target: CheckTarget) -> str:
    """Check that two micro-batches change the buffers in the same way as one whole batch."""
    case = MethodCase(target)
    states = []
    for num_micro_batches in (1, 2):
        method = case.fresh()
        _freeze_batchnorm(method)  # half a batch has different statistics by design
        outs = [
            case.step(method, case.batch(BATCH_SIZE, positions=positions))
            for positions in torch.arange(BATCH_SIZE).chunk(num_micro_batches)
        ]
        method.finish_step(merge_outputs(outs), 0, TOTAL_STEPS)
        states.append(
            {
                name: buffer
                for name, buffer in method.named_buffers()
                if buffer.is_floating_point() and not is_running_statistic(name)
            }
        )
    expected, actual = states
    for name, value in expected.items():
        error = distance(actual[name], value)
        if error > TOLERANCE:
            raise CheckFailure(
                f"after a step of two micro-batches {name} is off by {error:.1e}",
                "with [trainer] accumulate, only the last micro-batch of each step would count",
                "do not store results of a step on self: return the rows as StepOutput(..., "
                "enqueue={...}), and the host pushes the rows of all micro-batches",
            )
    return f"{len(expected)} buffers"


def autocast(target: CheckTarget) -> str:
    """Check that bfloat16 autocast gives finite gradients and nearly the float32 loss."""
    case = MethodCase(target)
    batch = case.batch(16, dtype=torch.float32)
    expected = float(case.step(case.fresh(dtype=torch.float32), batch).loss.detach())
    method = case.fresh(dtype=torch.float32)
    run_padding_only_convs_in_float32(method)  # as the host does on a CPU
    with torch.autocast("cpu", torch.bfloat16):
        loss = case.step(method, batch).loss
    loss.backward()
    norms = [p.grad.norm() for _, p in method.trainable_parameters() if p.grad is not None]
    actual = float(loss.detach())
    with torch.autocast("cpu", torch.bfloat16):
        # Queues and hooks that run after a step must also accept bfloat16.
        case.train(case.fresh(dtype=torch.float32), 2)
    if not (torch.isfinite(loss) and torch.isfinite(torch.stack(norms)).all()):
        problem = f"the loss is {actual} or a gradient is not finite"
    elif abs(actual - expected) > 0.2 * max(1.0, abs(expected)):
        problem = f"the loss is {actual:.4g}, but in float32 it is {expected:.4g}"
    else:
        return f"{actual:.4g}, in float32 {expected:.4g}"
    raise CheckFailure(
        f"in bfloat16 {problem}",
        "GPUs and recent CPUs train in bfloat16 by default",
        "compute the loss in a Loss component, which the host calls in float32, or put "
        "torch.autocast(device_type, enabled=False) and .float() around sensitive sums",
    )


def _unregistered_attributes(method: nn.Module) -> list[str]:
    """Return the names of attributes whose tensors are missing from the state dict."""
    known = {id(t) for t in method.state_dict(keep_vars=True).values()}
    known |= {id(m) for m in method.modules()}
    names = []
    for module_name, module in method.named_modules():
        for name, value in vars(module).items():
            if name.startswith("_") and name != "_buffers":
                continue
            values: list[Any] = [value]
            if isinstance(value, dict):
                values = list(value.values())
            elif isinstance(value, list | tuple):
                values = list(value)
            if any(isinstance(v, Tensor | nn.Module) and id(v) not in known for v in values):
                names.append(f"{module_name}.{name}" if module_name else name)
    return names
