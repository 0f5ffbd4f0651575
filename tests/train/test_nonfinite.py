"""Non-finite numbers stop the run in that step, which is written and can be replayed."""

import re

import pytest
import torch

import ssl_host
from ssl_host.errors import CheckpointError, NonFiniteError
from ssl_host.train.failed_step import remove_failed_steps
from tests.conftest import as_ini, tiny
from tests.train.step_plugin import run_step

NAN_VIEWS = """
import torch
from ssl_host import Augmentation, hookimpl

@hookimpl
def register_augmentations(register):
    register("nan_views", "ssl_plugin_nan_views:NanViews")

class NanViews(Augmentation):
    num_views = 2

    def apply_batch(self, images, rng):
        view = images.float() / 255
        view[0, 0, 0, 0] = float("nan")
        return [view, view.clone()]
"""


def test_nan_loss_stops_the_run_and_can_be_replayed(install, tmp_path):
    body = """z = torch.nn.functional.dropout(z)
self.dropped = z.detach().clone()
return StepOutput(z.mean() * (float('nan') if self.progress.step == 4 else 1.0))"""
    with pytest.raises(NonFiniteError) as caught:
        run_step(body, install, tmp_path)
    message = str(caught.value)
    assert message.startswith("the loss became nan at step 4 (epoch 1), with a learning rate of ")
    assert "the batch starts with image " in message
    assert "gradient_clip = 1.0" in message
    file = next(tmp_path.rglob("non_finite.ckpt"))
    assert f"ssl_host.load_failed_step({str(file)!r})" in message
    failed = ssl_host.load_failed_step(file)
    assert failed.progress.step == 4
    assert len(failed.names) == len(failed.batch.index) == len(failed.batch.views[0])
    outs = [failed.replay() for _ in range(2)]
    assert all(torch.isnan(out.loss) for out in outs)
    first = failed.method.dropped
    failed.replay()
    assert torch.equal(first, failed.method.dropped)


def test_nan_gradient_is_detected_in_its_step(install, tmp_path):
    """The square root of zero has a finite value and an infinite derivative."""
    body = """zero = z.sum() * 0 if self.progress.step == 3 else z.square().sum()
return StepOutput(zero.sqrt() + z.mean())"""
    with pytest.raises(NonFiniteError) as caught:
        run_step(body, install, tmp_path)
    message = str(caught.value)
    assert message.startswith("the gradient became nan at step 3 (epoch ")
    assert "; the first non-finite gradient is that of " in message
    failed = ssl_host.load_failed_step(next(tmp_path.rglob("non_finite.ckpt")))
    out = failed.replay()
    assert torch.isfinite(out.loss)
    out.loss.backward()
    assert not all(torch.isfinite(p.grad).all() for p in failed.method.projector.parameters())


def test_nan_weights_are_never_written_to_a_checkpoint(install, tmp_path):
    """The loss is not read in every step, as on a GPU."""
    body = """if self.progress.step == 5:
    with torch.no_grad():
        self.projector.layers[-1].bias.fill_(float("nan"))
    return StepOutput(sum(p.sum() for p in self.backbone.parameters()) * 1e-9)
return StepOutput(z.square().mean())"""
    with pytest.raises(
        NonFiniteError, match=r"norm of projector\..*bias became nan at step 6"
    ) as caught:
        run_step(body, install, tmp_path, trainer={"log_every": 100})
    assert "step-000000003.ckpt" in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*.ckpt")].count("step-000000006.ckpt") == 0


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_buffer_may_be_infinite_but_not_nan(value, install, tmp_path):
    body = f"""if self.progress.step == 5:
    self.projector.layers[1].running_mean.fill_(float("{value}"))
    return StepOutput(sum(p.sum() for p in self.parameters()) * 1e-9)
return StepOutput(z.square().mean())"""
    if value == "inf":
        run_step(body, install, tmp_path)
        return
    message = r"norm of projector\.layers\.1\.running_mean became nan at step 6"
    with pytest.raises(NonFiniteError, match=message):
        run_step(body, install, tmp_path)


def test_load_failed_step_empty_file_is_an_error(tmp_path):
    (tmp_path / "config.ini").write_text(as_ini(tiny()), encoding="utf-8")
    (tmp_path / "non_finite.ckpt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="does not contain a failed step"):
        ssl_host.load_failed_step(tmp_path / "non_finite.ckpt")


def test_exploding_run_error_gives_learning_rate(install, tmp_path):
    with pytest.raises(NonFiniteError) as caught:
        run_step("return StepOutput(z.square().mean())", install, tmp_path, optimizer={"lr": 1e30})
    message = str(caught.value)
    assert message.startswith("the loss became nan at step 1 (epoch 0), with a learning rate of ")
    assert re.search(r"rate of 9\.\d\de\+29", message)
    assert "a smaller [optimizer] lr" in message.lower()


def test_nan_views_error_names_the_augmentation(install, tmp_path):
    body = "return StepOutput(z.square().mean() + batch.views[0].mean() * 0)"
    install("ssl-plugin-nan-views", NAN_VIEWS)
    with pytest.raises(NonFiniteError, match="the views themselves are not finite"):
        run_step(body, install, tmp_path, augmentation={"name": "nan_views"})


def test_remove_failed_steps_keeps_files_of_users(tmp_path):
    for name in ("non_finite.ckpt", "rank-1-non_finite.ckpt", "mine-non_finite.ckpt"):
        (tmp_path / name).touch()
    remove_failed_steps(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine-non_finite.ckpt"]
