"""16-mixed: a step that the gradient scaler skips moves nothing."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision

from ssl_host.train.checkpoint import load_latest_checkpoint
from tests.train.step_plugin import run

PLUGIN = """
import torch
from ssl_host import ConstantSchedule, FeatureQueue, LinearSchedule, Method, StepOutput, hookimpl

CALLS = []

@hookimpl
def register_methods(register):
    register("scaled", "ssl_plugin_scaled:Scaled")

class Scaled(Method):
    heads = {"projector": "backbone"}
    recipe = {"head.projector": {"output_dim": 4}}
    ema = ("projector",)

    def setup(self):
        self.ema_decay = ConstantSchedule(0.5)
        self.line = LinearSchedule(0.0, 6.0)
        self.queue = FeatureQueue(100, self.projector.output_dim)

    def step(self, batch):
        h = self.backbone(batch.views[0])
        z = self.projector(h)
        CALLS.append((self.progress.step, float(self.line), int(self.queue.pushed)))
        scale = float("inf") if len(CALLS) == 3 else 1.0
        loss = z.float().square().mean()
        loss.register_hook(lambda gradient: gradient * scale)
        return StepOutput(loss, features=h, enqueue={"queue": z})
"""


def test_skipped_step_moves_neither_schedules_nor_queues_nor_the_count(
    install, tmp_path, monkeypatch
):
    """Lightning turns 16-mixed on a CPU into bf16, so its precision plugin is replaced."""
    install("ssl-plugin-scaled", PLUGIN)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    trainer = pl.Trainer

    def with_scaler(**arguments):
        arguments.pop("precision")
        plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
        return trainer(**arguments, plugins=[plugin])

    monkeypatch.setattr(pl, "Trainer", with_scaler)
    outcome = run(tmp_path, method={"name": "scaled"}, trainer={"precision": "16-mixed"})
    from ssl_plugin_scaled import CALLS

    assert [step for step, _, _ in CALLS] == [0, 1, 2, 2, 3, 4]
    assert [value for _, value, _ in CALLS] == [0, 1, 2, 2, 3, 4]
    assert [pushed for _, _, pushed in CALLS] == [0, 16, 32, 32, 48, 64]
    assert scaler.get_scale() == 2.0
    state = load_latest_checkpoint(outcome.folder / "checkpoints")[0]
    assert (state["step"], state["epoch"]) == (5, 2)
