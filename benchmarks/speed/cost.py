"""Measure memory and time of a training step of each method, side by side.

    python benchmarks/speed/cost.py [METHOD ...]

Uses the presets for CIFAR-10: ResNet-18 at 32 px, or the methods' own transformer; 64 images a
batch, float32. Writes benchmarks/results/cost.json and cost.md; about ten minutes on two cores.
Memory is counted, not observed: the bytes of the tensors that the step keeps for its backward
pass, and of the networks, queues and optimizer between steps.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import torch
from comparison import describe_machine
from torch import Tensor

from ssl_host import Catalog, UserError
from ssl_host.compose import compose
from ssl_host.config.auto_settings import resolve_auto
from ssl_host.config.resolve import resolve_sections
from ssl_host.data.batches import RawBatch
from ssl_host.pipeline.step_timing import StepTimer
from ssl_host.train.loop import make_plan
from ssl_host.train.training_step import TrainingStep

BATCH_SIZE = 64
IMAGES = 1024
MIB = 2**20
RESULTS = Path(__file__).parents[1] / "results"
COLUMNS = {
    "backbone": "backbone",
    "views": "views",
    "backward_mib": "kept for backward, MiB",
    "state_mib": "between steps, MiB",
    "images_per_s": "images/s",
}


def measure(method_name: str, catalog: Catalog) -> dict[str, object]:
    """Return memory (MiB), views and speed (images/s) of a method's step."""
    sections = {
        "run": {"extends": f"{method_name}/cifar10", "batch_size": BATCH_SIZE},
        "data": {"name": "synthetic", "num_images": IMAGES, "image_size": 32},
        "trainer": {"precision": "32-true", "num_threads": 2},
        "probe": {"enabled": False},
        **({"loss": {"sub_batch": BATCH_SIZE}} if method_name == "wmse" else {}),
    }
    config = resolve_auto(resolve_sections(sections, catalog))
    experiment = compose(config, num_images=IMAGES)
    train = experiment.source.open("train")
    plan = make_plan(config, IMAGES)
    labels = torch.as_tensor(train.labels[:BATCH_SIZE])
    raw = RawBatch(train.images[:BATCH_SIZE], torch.arange(BATCH_SIZE), labels, epoch=0)
    timer = StepTimer(experiment, raw, plan, 0)
    timer.start_epoch(train.images)
    seconds = timer.seconds_per_step(config.trainer)
    step = TrainingStep(experiment, plan, timer.state)
    return {
        "backbone": config.values()["backbone"]["model"],
        "views": len(timer.shapes),
        "backward_mib": kept_for_backward(step, raw) / MIB,
        "state_mib": kept_between_steps(timer) / MIB,
        "images_per_s": BATCH_SIZE / seconds,
    }


def kept_for_backward(step: TrainingStep, raw: RawBatch) -> int:
    """Return the bytes that one step keeps for its backward pass, without the parameters."""
    method = step.experiment.method
    parameters = {p.untyped_storage().data_ptr() for p in method.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        method.step(step.make_batch(raw))
    return sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in parameters)


def kept_between_steps(timer: StepTimer) -> int:
    """Return the bytes of networks, queues and the optimizer's state."""
    tensors = list(timer.method.state_dict().values())
    for state in timer.optimizer.state.values():
        tensors += [value for value in state.values() if isinstance(value, Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def write_results(results: dict[str, dict]) -> None:
    """Write the results of all methods as JSON and as a Markdown table."""
    text = json.dumps({"machine": describe_machine(), "methods": results}, indent=1) + "\n"
    (RESULTS / "cost.json").write_text(text, encoding="utf-8")
    lines = [f"| method | {' | '.join(COLUMNS.values())} |", "|---|---|" + "---:|" * 4]
    for name, row in results.items():
        values = [row[key] for key in COLUMNS]
        cells = [f"{each:.0f}" if isinstance(each, float) else str(each) for each in values]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    (RESULTS / "cost.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    catalog = Catalog()
    presets = [name.split("/") for name in catalog.names("preset")]
    methods = [method for method, preset in presets if preset == "cifar10"]
    file = RESULTS / "cost.json"
    results = json.loads(file.read_text("utf-8"))["methods"] if file.exists() else {}
    for name in sys.argv[1:] or methods:
        try:
            results[name] = measure(name, catalog)
        except UserError as error:  # such as a teacher whose weights cannot be downloaded
            print(f"{name} is skipped: {error}", file=sys.stderr)
            continue
        print(name, results[name], flush=True)
        write_results(dict(sorted(results.items())))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
