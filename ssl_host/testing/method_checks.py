"""What one step of a method must be."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_host.contracts.batch import Progress
from ssl_host.contracts.method import Method
from ssl_host.testing.component_checks import judge_reading, watched
from ssl_host.testing.distributed import distance
from ssl_host.testing.harness import TOTAL_STEPS, MethodCase
from ssl_host.testing.outcome import CheckFailure, NotApplicable
from ssl_host.testing.target import CheckTarget
from ssl_host.toolkit.ema import MovingAverage
from ssl_host.toolkit.queue import FeatureQueue

EXACT = 1e-9
BATCHES = (2, 5, 33)


def finite_loss(target: CheckTarget) -> str:
    """The loss is a finite scalar with a gradient, for a batch of 2, an odd and a large one."""
    case = MethodCase(target)
    method = case.fresh()
    for count in BATCHES:
        loss = case.step(method, case.batch(count)).loss
        if loss.ndim or not torch.isfinite(loss):
            raise CheckFailure(
                f"at a batch of {count} the loss is {loss.detach().tolist()}",
                "the last batch of a process may be small, and one nan ends a run of days",
                "take the mean over images, and guard divisions and logarithms by an epsilon",
            )
        if not loss.requires_grad:
            raise CheckFailure(
                "the loss has no gradient",
                "nothing would be learned",
                "compute it outside torch.no_grad(), and do not detach it",
            )
    return f"batches of {', '.join(map(str, BATCHES))}"


def features_returned(target: CheckTarget) -> str:
    """The probe gets the backbone's features, B D, without a gradient."""
    case = MethodCase(target)
    method = case.fresh()
    features = case.step(method, case.batch(6)).features
    if features is None:
        raise CheckFailure(
            "StepOutput has no features",
            "the online probe and the warning of a collapse have nothing to look at",
            "return StepOutput(loss, features=h), with the backbone's features of one view",
        )
    wanted = (6, method.backbone.feature_dim)
    if tuple(features.shape) != wanted or features.requires_grad:
        raise CheckFailure(
            f"features are {tuple(features.shape)}"
            + (" with a gradient" if features.requires_grad else ""),
            "the online probe is sized by the backbone, and must never reach into it",
            f"return the backbone's output of one view, here {wanted}",
        )
    return f"{wanted[1]} numbers an image"


def gradients(target: CheckTarget) -> str:
    """Every trainable parameter gets a gradient, and no momentum copy does."""
    case = MethodCase(target)
    method = case.fresh()
    case.step(method, case.batch(8)).loss.backward()
    late = _late_gradients(case)
    copies = tuple(f"ema_{part}." for part in method.ema)
    count = 0
    for name, parameter in method.named_parameters():
        if name.startswith(copies) and copies:
            if parameter.requires_grad or parameter.grad is not None:
                raise CheckFailure(
                    f"the momentum copy's {name} is trained",
                    "the target would run after the loss instead of averaging the network",
                    "leave momentum copies to the host: declare `ema = (...)`, and do not "
                    "set requires_grad on them",
                )
            continue
        if not parameter.requires_grad:
            continue
        count += 1
        if parameter.grad is None and name in late:
            raise CheckFailure(
                f"{name} gets no gradient in the first step, and one later",
                "several processes exchange every gradient in every step, and stop where one is "
                "missing",
                "let it have its gradient; to keep it where it is at first, give its group "
                "frozen_until: ParamGroup(name, params, frozen_until=0.01) in param_groups()",
            )
        if name not in late:
            raise CheckFailure(
                f"{name} gets no gradient",
                "it stays as it was initialised, unnoticed",
                "use it in the step, or freeze it by requires_grad_(False) in setup()",
            )
    return f"{count} parameters"


def _late_gradients(case: MethodCase) -> set[str]:
    """Names of the parameters that the last step of a run moves."""
    method = case.fresh()
    method.progress = Progress(TOTAL_STEPS - 1, TOTAL_STEPS, 1)
    case.step(method, case.batch(8)).loss.backward()
    return {
        name
        for name, p in method.named_parameters()
        if p.grad is not None and (p.ndim < 2 or bool(p.grad.any()))
    }


def ema_update(target: CheckTarget) -> str:
    """Momentum copies are used, are left alone by the step, and follow by τ after it."""
    case = MethodCase(target)
    method = case.fresh()
    if not method.ema:
        raise NotApplicable("it has no momentum copies")
    case.train(method, 1)
    used: set[str] = set()
    for part in method.ema:
        network = getattr(method, f"ema_{part}")
        network.register_forward_hook(lambda *_, part=part: used.add(part))
    before = _copies(method)
    optimizer = torch.optim.SGD([p for _, p in method.trainable_parameters()], lr=0.1)
    out = case.step(method, case.batch(8))
    out.loss.backward()
    unused = [part for part in method.ema if part not in used]
    if unused:
        raise CheckFailure(
            f"the step does not use ema_{unused[0]}",
            "the targets come from the network that is trained, not from its momentum copy",
            f"compute them by self.ema_{unused[0]} under torch.no_grad()",
        )
    optimizer.step()
    if any(distance(a, b) > 0 for a, b in zip(before, _copies(method), strict=True)):
        raise CheckFailure(
            "the step moves momentum copies itself",
            "under accumulation they would move several times a step",
            "leave it to the host, which moves them once after each optimizer step",
        )
    ema_decay = float(method.ema_decay)
    online = [p for part in method.ema for p in getattr(method, part).parameters()]
    wanted = [ema_decay * a + (1 - ema_decay) * b for a, b in zip(before, online, strict=True)]
    method.finish_step(out, 1, 20)
    gap = max(distance(a, b) for a, b in zip(_copies(method), wanted, strict=True))
    if gap > EXACT:
        raise CheckFailure(
            f"after the step the copies are {gap:.1e} off τ · copy + (1 − τ) · network",
            "the momentum is another one than is logged and checkpointed",
            "do not override finish_step(), and move no copies in after_optimizer_step()",
        )
    return f"τ = {ema_decay:.4g}"


def _copies(method: Method) -> list[Tensor]:
    networks = [getattr(method, f"ema_{part}") for part in method.ema]
    return [p.detach().clone() for network in networks for p in network.parameters()]


def stop_gradient(target: CheckTarget) -> str:
    """Where there is a predictor, all gradient comes through it: the targets have none."""
    case = MethodCase(target)
    method = case.fresh()
    predictors = [name for name, feeder in method.heads.items() if feeder in method.heads]
    if not predictors:
        raise NotApplicable("it has no predictor, a head that is fed by a head")
    for name in predictors:
        getattr(method, name).register_forward_pre_hook(lambda _, x: (x[0].detach(),))
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
            f"{reached[-1]} gets a gradient around the predictor",
            "the targets are pulled towards the predictions, and everything collapses to one point "
            "(SimSiam, arXiv:2011.10566, section 4.1)",
            "detach the targets: self.loss(p1, z2.detach()). If the method is meant to learn "
            "through both branches, pass skip=['stop_gradient'] and say so in its docstring",
        )
    return f"all of it comes through {', '.join(predictors)}"


def step_is_pure(target: CheckTarget) -> str:
    """A step changes nothing but batch-norm statistics; queues are pushed by the host."""
    case = MethodCase(target)
    method = case.fresh()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    out = case.step(method, case.batch(8))
    statistics = {
        f"{name}.{key}" if name else key
        for name, module in method.named_modules()
        if isinstance(module, _BatchNorm)
        for key, _ in module.named_buffers(recurse=False)
    }
    for name, value in method.state_dict().items():
        if name not in statistics and not torch.equal(before[name], value):
            owner = method.get_submodule(name.rpartition(".")[0])
            if isinstance(owner, FeatureQueue | MovingAverage):
                raise CheckFailure(
                    f"the step pushes into {name.rpartition('.')[0]} itself",
                    "a row would find itself as its own neighbour, and a step that is computed "
                    "in parts would push several times",
                    "return the rows: StepOutput(loss, ..., enqueue={'queue': z1}); the host "
                    "pushes them after the optimizer has stepped",
                )
            raise CheckFailure(
                f"the step changes {name}",
                "a step that is computed in parts would change it several times",
                "change it in after_optimizer_step(), which runs once after each optimizer step",
            )
    for name in out.enqueue:
        if not callable(getattr(getattr(method, name, None), "push", None)):
            raise CheckFailure(
                f"enqueue names '{name}', and the method has no self.{name} with a push(rows)",
                "the host would not know where the rows belong",
                f"write self.{name} = FeatureQueue(size, dim), or MovingAverage(dim, momentum), "
                "in setup()",
            )
    return f"rows go to {', '.join(out.enqueue)}" if out.enqueue else ""


def batch_order(target: CheckTarget) -> str:
    """The loss does not depend on the order of the images in the batch."""
    case = MethodCase(target)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    plain = case.step(case.fresh(), case.batch(9)).loss.detach()
    mixed = case.step(case.fresh(), case.batch(9, chosen=order)).loss.detach()
    gap = distance(mixed, plain)
    if gap > EXACT:
        raise CheckFailure(
            f"with the images in another order the loss is {float(mixed):.9g}, not "
            f"{float(plain):.9g}",
            "what is learned would depend on how a folder is sorted or a batch is split",
            "look for an index that is off, a chunk() or reshape() that mixes images with views, "
            "or a statistic over part of the batch. If it is meant so (shuffled keys), pass "
            "skip=['batch_order']",
        )
    return f"to {gap:.0e}"


def settings_declared(target: CheckTarget) -> str:
    """Nothing is read that Config does not declare."""
    case = MethodCase(target)
    part = case.config.components["method"]
    settings, read, unknown = watched(part.settings)
    method = case.experiment(settings=settings).method.double().train()
    list(method.param_groups())
    read_in_vain: Exception | None = None
    try:
        case.train(method, 2)
    except AttributeError as error:
        read_in_vain = error
    if read_in_vain is not None and not unknown:
        raise read_in_vain
    recipe = str(dict(target.cls.recipe))
    used = {n for n in target.cls.Config.model_fields if f"${{method.{n}}}" in recipe}
    return judge_reading(target, read, unknown, used)


def multicrop(target: CheckTarget) -> str:
    """A method that says so takes full-size views and small ones together."""
    if not target.cls.supports_multicrop:
        raise NotApplicable("it takes full-size views only, and the host says so to its users")
    crops = {"augmentation": {"name": "multicrop", "num_local": 3}}
    case = MethodCase(CheckTarget(target.kind, target.component, {**target.settings, **crops}))
    method = case.fresh()
    batch = case.batch(6)
    loss = case.step(method, batch).loss
    if not torch.isfinite(loss):
        raise CheckFailure(
            f"with {len(batch.views)} views the loss is {float(loss)}",
            "supports_multicrop = True promises that it is finite",
            "batch.views[:batch.num_global] are the full-size views, the small ones follow",
        )
    return f"{len(batch.views)} views, {batch.num_global} of full size"
