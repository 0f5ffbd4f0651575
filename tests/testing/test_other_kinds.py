"""Faulty components of all kinds except methods, and the checks that find the faults."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time

import numpy as np
import pytest
import torch
from pydantic import Field

import ssl_host
from ssl_host import (
    ArrayImages,
    Augmentation,
    Backbone,
    Baseline,
    DataSource,
    Evaluation,
    Evaluator,
    Exporter,
    Figure,
    Head,
    ImageDataset,
    Logger,
    ModelCard,
    Optimizer,
    Scheduler,
    Settings,
)
from ssl_host.testing import CheckTarget
from ssl_host.testing.suite import run_check
from tests.testing import faulty


class GlobalGenerator(Augmentation):
    def apply_batch(self, images, rng):
        return [images * torch.rand(()), images]


class BatchMean(Augmentation):
    def apply_batch(self, images, rng):
        return [images - images.mean(dim=0) * 0.1, images]


class OncePerImage(Augmentation):
    def apply_batch(self, images, rng):
        generator = torch.Generator().manual_seed(0)
        return [images * torch.rand(len(images), 1, 1, 1, generator=generator), images]


class TwoForms(Augmentation):
    def view_specs(self):
        return []

    def apply_batch(self, images, rng):
        return [images]


class UnscaledValues(Augmentation):
    def apply_batch(self, images, rng):
        return [images * 255, images]


class UnusedClassifier(Backbone):
    def setup(self):
        self.layer = torch.nn.Conv2d(self.in_channels, 4, 3)
        self.classifier = torch.nn.Linear(4, 10)
        self.feature_dim = 5

    def forward(self, images):
        return self.layer(images).mean(dim=(2, 3))


class NoisyInEvalMode(Head):
    def setup(self):
        self.layer = torch.nn.Linear(self.in_dim, 4)
        self.output_dim = 4
        self.table = torch.randn(4)

    def forward(self, x):
        return self.layer(x) + self.table + torch.randn(4)


class FixedRate(Optimizer):
    def create(self, groups):
        return torch.optim.SGD([p for g in groups for p in g["params"]], lr=0.05)


class Counting(Scheduler):
    def setup(self):
        self.calls = 0

    def factor(self, step, total_steps, steps_per_epoch):
        self.calls += 1
        return 1 / self.calls


class DividesByWarmUp(Scheduler):
    def factor(self, step, total_steps, steps_per_epoch):
        return step / (total_steps - 1)


class Percent(Evaluator):
    """Nearest mean, in per cent."""

    figures = {"top1": Figure("accuracy", unit="%", baseline=True)}

    def evaluate(self, bank):
        means = torch.stack([bank.train.x[bank.train.y == c].mean(0) for c in range(4)])
        right = torch.cdist(bank.test.x, means).argmin(1) == bank.test.y
        return Evaluation({"top1": 100 * right.float().mean().item()})


class FitsTheTest(Evaluator):
    """Nearest mean of the test split itself."""

    figures = {"top1": Figure("accuracy", unit="%", baseline=True)}

    def evaluate(self, bank):
        means = torch.stack([bank.test.x[bank.test.y == c].mean(0) for c in range(4)])
        right = torch.cdist(bank.test.x, means).argmin(1) == bank.test.y
        return Evaluation({"top1": right.float().mean().item()}, {"means": {"means": means}})


class Normalises(Evaluator):
    """Changes the shared features."""

    def evaluate(self, bank):
        bank.train.x.sub_(1)
        return Evaluation({"mean": float(bank.train.x.mean())})


class Leaky(DataSource):
    class Config(Settings):
        image_size: int = Field(8, ge=8, le=64, description="side of a view in pixels")

    def open(self, split):
        images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8)))
        return ArrayImages(images.to(torch.uint8), torch.arange(20) % 4)


class Gray(Leaky):
    channels = 1


class TooFewClasses(Leaky):
    def open(self, split):
        images = super().open(split)
        images.classes = ("only one",)
        return images


class OneHandle(ImageDataset):
    """Images in one file that is opened once, without a lock between readers."""

    def __init__(self):
        self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the fault itself
        self.file.write(np.random.default_rng(0).integers(0, 256, 99 * 192, np.uint8).tobytes())
        self.lock = contextlib.nullcontext()

    def __len__(self):
        return 20

    def read(self, i):
        with self.lock:
            self.file.seek(i * 192)
            time.sleep(0.002)
            return torch.frombuffer(bytearray(self.file.read(192)), dtype=torch.uint8).view(3, 8, 8)


class SharedByThreads(Leaky):
    def open(self, split):
        return OneHandle() if split == "train" else None


class SharedByProcesses(Leaky):
    def open(self, split):
        images = SharedByThreads.open(self, split)
        if images is not None:
            images.lock = threading.Lock()
        return images


class BatchStatistics(Baseline):
    def make_extractor(self, inputs):
        return lambda images: images.float().flatten(1) - images.float().mean()


class Darkens(Baseline):
    def make_extractor(self, inputs):
        return lambda images: images.mul_(0).float().flatten(1)


class DividesByZero(Baseline):
    def make_extractor(self, inputs):
        return lambda images: images.float().flatten(1) / 0


class WritesNothing(Exporter):
    def write(self, backbone, folder, properties):
        return ModelCard(usage="")


class ChangesTheBackbone(Exporter):
    def write(self, backbone, folder, properties):
        (folder / "weights.bin").write_bytes(b"0")
        backbone.train()
        return ModelCard(usage="")


class RefusesWithTrue(Exporter):
    def refusal(self, backbone):
        return True


class StartsOnce(Logger):
    def start(self, run):
        self.file = (run.folder / "x.txt").open("x")

    def log(self, step, metrics):
        self.file.write(str(metrics["loss"]))


CASES = [
    ("augmentation", GlobalGenerator, "same_seed", "different views"),
    ("augmentation", BatchMean, "batch_independence", "the views of image 0 alone differ"),
    ("augmentation", OncePerImage, "varies_by_epoch", "two epochs have the same views"),
    ("augmentation", TwoForms, "view_shapes", "must override exactly one"),
    ("augmentation", UnscaledValues, "view_shapes", "view 0 range from 1.00 to 254.00"),
    ("backbone", UnusedClassifier, "output_shape", "the output for 2 inputs has the shape (2, 4)"),
    ("backbone", UnusedClassifier, "gradients", "classifier.weight gets no gradient"),
    ("head", NoisyInEvalMode, "deterministic_in_eval_mode", "outputs for the same input differ"),
    (
        "head",
        NoisyInEvalMode,
        "state_dict_round_trip",
        "loads the state dict gives a different output",
    ),
    ("loss", faulty.NoEpsilon, "degenerate_embeddings", "embeddings that are zero give"),
    ("loss", faulty.GatherWithoutGradient, "one_process_equals_two", "the gradient is off by"),
    ("optimizer", FixedRate, "respects_lr", "with lr = 0 change"),
    ("optimizer", FixedRate, "keeps_group_keys", "named [None]"),
    ("scheduler", Counting, "factors", "changes from call to call"),
    ("scheduler", DividesByWarmUp, "factors", "ZeroDivisionError"),
    ("evaluator", Percent, "metrics_are_finite", "top1 is 100"),
    ("evaluator", FitsTheTest, "no_test_leakage", "means of means depends on the test"),
    ("evaluator", Normalises, "features_unchanged", "changed in place"),
    ("baseline", BatchStatistics, "batch_independence", "computed alone differ by"),
    ("baseline", Darkens, "input_unchanged", "changed in place"),
    ("baseline", DividesByZero, "features_are_rows", "not all are finite"),
    ("data", Leaky, "splits_are_disjoint", "image 0 of the test split is also"),
    ("data", Gray, "images_are_uint8", "image 0 is torch.uint8 of shape (3, 8, 8)"),
    ("data", TooFewClasses, "labels_are_valid", "20 images and 1 classes"),
    ("data", SharedByThreads, "concurrent_reads", "differs when threads read"),
    ("data", SharedByProcesses, "concurrent_reads", "differs when worker processes read"),
    ("logger", StartsOnce, "logs_a_run", "FileExistsError"),
    ("exporter", WritesNothing, "writes_files", "leaves the folder empty"),
    ("exporter", WritesNothing, "refuses_with_a_reason", "leaves the folder empty"),
    ("exporter", ChangesTheBackbone, "backbone_unchanged", "training mode"),
    ("exporter", RefusesWithTrue, "refuses_with_a_reason", "refusal() returns bool"),
    ("scheduler", Counting, "documented", "has no docstring"),
]


@pytest.mark.parametrize(
    ("kind", "cls", "check", "message"), CASES, ids=[f"{c[1].__name__}-{c[2]}" for c in CASES]
)
def test_check_fails_on_faulty_component_with_message_reason_and_fix(kind, cls, check, message):
    outcome = run_check(CheckTarget(kind, cls), check)
    assert outcome.state == "failed", outcome
    assert message in outcome.what
    assert outcome.why
    assert outcome.fix


def test_import_without_torch_fails_on_plugin_that_imports_torch(install):
    install(
        "ssl-plugin-heavy",
        "import torch\nfrom ssl_host import hookimpl, Scheduler\n\n\n"
        "class Flat(Scheduler):\n    'One rate. No paper.'\n\n"
        "    def factor(self, step, total_steps, steps_per_epoch):\n        return 1.0\n\n\n"
        "@hookimpl\ndef register_schedulers(register):\n"
        "    register('heavy', 'ssl_plugin_heavy:Flat')\n",
    )
    import os
    import sys

    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        outcome = run_check(CheckTarget("scheduler", "heavy"), "import_without_torch")
    finally:
        del os.environ["PYTHONPATH"]
    assert outcome.what == "import ssl_plugin_heavy imports torch"


def test_check_is_skipped_without_required_setting():
    outcome = run_check(CheckTarget("data", "imagefolder"), "images_are_uint8")
    assert outcome.state == "skipped"
    assert "-o data.root=" in outcome.what


def test_check_fails_with_invalid_setting():
    outcome = run_check(CheckTarget("head", "mlp", {"num_layers": 99}), "gradients")
    assert outcome.state == "failed"
    assert "num_layers = 99 is invalid" in outcome.what


def test_unknown_kind_or_check_raises_user_error():
    from ssl_host.testing import check_component

    with pytest.raises(ssl_host.UserError, match="unknown kind 'gizmo'; the kinds are "):
        check_component("gizmo", "x")
    with pytest.raises(ssl_host.UserError, match="no check 'gizmo' for head components"):
        check_component("head", "mlp", skip=["gizmo"])
