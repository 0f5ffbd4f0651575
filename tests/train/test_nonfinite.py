"""Numbers that are none: the run stops in that step and leaves it to be computed again."""

import re

import pytest
import torch

import ssl_host
from ssl_host.errors import CheckpointError, NonFiniteError
from ssl_host.train.nonfinite import remove_failed_steps
from tests.conftest import as_ini, tiny
from tests.train.odd_methods import odd

HOLES = """
import torch
from ssl_host import Augmentation, hookimpl

@hookimpl
def register_augmentations(register):
    register("holes", "ssl_plugin_holes:Holes")

class Holes(Augmentation):
    num_views = 2

    def apply_batch(self, images, rng):
        view = images.float() / 255
        view[0, 0, 0, 0] = float("nan")
        return [view, view.clone()]
"""


def test_a_loss_that_is_no_number_stops_and_can_be_computed_again(install, tmp_path):
    """Seen to fail with the step computed again in other random numbers, which dropout shows."""
    body = """z = torch.nn.functional.dropout(z)
self.heard = z.detach().clone()
return StepOutput(z.mean() * (float('nan') if self.progress.step == 4 else 1.0))"""
    with pytest.raises(NonFiniteError) as caught:
        odd(body, install, tmp_path)
    message = str(caught.value)
    assert message.startswith("the loss became nan at step 4 (epoch 1), with a learning rate of ")
    assert "the batch began with image " in message
    assert "gradient_clip = 1.0" in message
    file = next(tmp_path.rglob("non_finite.ckpt"))
    assert f"ssl_host.load_failed_step({str(file)!r})" in message
    failed = ssl_host.load_failed_step(file)
    assert failed.progress.step == 4
    assert len(failed.names) == len(failed.batch.index) == len(failed.batch.views[0])
    outs = [failed.again() for _ in range(2)]
    assert all(torch.isnan(out.loss) for out in outs)
    first = failed.method.heard
    failed.again()
    assert torch.equal(first, failed.method.heard)


def test_a_gradient_that_is_no_number_is_caught_in_its_step(install, tmp_path):
    """The root of nothing has a finite value and an infinite slope.

    Seen to fail without the check: the loss became nan a step later.
    """
    body = """zero = z.sum() * 0 if self.progress.step == 3 else z.square().sum()
return StepOutput(zero.sqrt() + z.mean())"""
    with pytest.raises(NonFiniteError) as caught:
        odd(body, install, tmp_path)
    message = str(caught.value)
    assert message.startswith("the gradient became nan at step 3 (epoch ")
    assert "; it is the gradient of " in message
    failed = ssl_host.load_failed_step(next(tmp_path.rglob("non_finite.ckpt")))
    out = failed.again()
    assert torch.isfinite(out.loss)
    out.loss.backward()
    assert not all(torch.isfinite(p.grad).all() for p in failed.method.projector.parameters())


def test_weights_that_are_no_numbers_are_never_written(install, tmp_path):
    """As where the loss is not read in each step, on a GPU. Seen to fail with no look at them."""
    body = """if self.progress.step == 5:
    with torch.no_grad():
        self.projector.layers[-1].bias.fill_(float("nan"))
    return StepOutput(sum(p.sum() for p in self.backbone.parameters()) * 1e-9)
return StepOutput(z.square().mean())"""
    with pytest.raises(
        NonFiniteError, match=r"norm of projector\..*bias became nan at step 6"
    ) as told:
        odd(body, install, tmp_path, trainer={"log_every": 100})
    assert "step-000000003.ckpt is the last checkpoint" in str(told.value)
    assert [path.name for path in tmp_path.rglob("*.ckpt")].count("step-000000006.ckpt") == 0


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_buffer_may_be_infinite_but_not_no_number(value, install, tmp_path):
    """Seen to fail with parameters alone looked at, and with every infinity refused."""
    body = f"""if self.progress.step == 5:
    self.projector.layers[1].running_mean.fill_(float("{value}"))
    return StepOutput(sum(p.sum() for p in self.parameters()) * 1e-9)
return StepOutput(z.square().mean())"""
    if value == "inf":
        odd(body, install, tmp_path)
        return
    wanted = "norm of projector.layers.1.running_mean became nan at step 6"
    with pytest.raises(NonFiniteError, match=wanted):
        odd(body, install, tmp_path)


def test_a_failed_step_that_is_torn_is_told(tmp_path):
    """Seen to fail with an EOFError."""
    (tmp_path / "config.ini").write_text(as_ini(tiny()), encoding="utf-8")
    (tmp_path / "non_finite.ckpt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="holds no failed step"):
        ssl_host.load_failed_step(tmp_path / "non_finite.ckpt")


def test_a_rate_that_explodes_is_named(install, tmp_path):
    """Seen to fail with the rate of the step before, which was none yet."""
    with pytest.raises(NonFiniteError) as caught:
        odd("return StepOutput(z.square().mean())", install, tmp_path, optimizer={"lr": 1e30})
    message = str(caught.value)
    assert message.startswith("the loss became nan at step 1 (epoch 0), with a learning rate of ")
    assert re.search(r"rate of 9\.\d\de\+29", message)
    assert "a smaller [optimizer] lr" in message.lower()


def test_views_that_are_no_numbers_are_the_augmentations(install, tmp_path):
    """Seen to fail with the cause left out."""
    body = "return StepOutput(z.square().mean() + batch.views[0].mean() * 0)"
    install("ssl-plugin-holes", HOLES)
    with pytest.raises(NonFiniteError, match="the views themselves are not finite: look at the"):
        odd(body, install, tmp_path, augmentation={"name": "holes"})


def test_only_what_the_host_wrote_is_forgotten(tmp_path):
    """Seen to fail: a copy that was kept for a bug report was removed by the next run."""
    for name in ("non_finite.ckpt", "rank-1-non_finite.ckpt", "mine-non_finite.ckpt"):
        (tmp_path / name).touch()
    remove_failed_steps(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine-non_finite.ckpt"]
