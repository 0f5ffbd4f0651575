"""Hints during the training: each is printed once, and only when there is a reason."""

import pytest
import torch
from safetensors.torch import load_file

from ssl_host.toolkit.console import make_console
from ssl_host.train.hints import TrainingHints, effective_rank, flat_view_fraction
from tests.train.step_plugin import run, run_step

LONG = {
    "run": {"epochs": 6, "batch_size": 64},
    "data": {"num_images": 512, "num_test": 24},
    "trainer": {"log_every": 4},
}
"""Sections of a run with enough images for the check of the online probe."""


def console():
    return make_console(width=1000, force_terminal=False)


def hints(capsys):
    """Return the lines with hints and warnings about the training."""
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines if line.startswith(("hint:", "warning:"))]


def test_features_in_one_direction_give_one_hint(install, tmp_path, capsys):
    body = (
        "sign = (h[:, :1] > h[:, :1].median()).float() * 2 - 1\n"
        "return StepOutput(z.square().mean(), features=sign.expand(-1, h.shape[1]))"
    )
    run_step(body, install, tmp_path, console(), run={"epochs": 4})
    (hint,) = hints(capsys)
    assert "effective rank 1.00 of 32" in hint
    assert "[optimizer] lr" in hint
    assert "batch norm in the projector" in hint


@pytest.mark.parametrize(("last", "is_low"), [(3.5, True), (10.0, False)])
def test_rank_that_falls_to_a_small_fraction_gives_one_hint(
    last, is_low, tmp_path, capsys, monkeypatch
):
    """A tenth of the first rank is no collapse: MSN ends there."""
    ranks = iter([100.0] * 5 + [last] * 20)
    monkeypatch.setattr("ssl_host.train.hints.effective_rank", lambda _: next(ranks))
    run(tmp_path, console(), run={"epochs": 4})
    found = [hint for hint in hints(capsys) if "effective rank" in hint]
    assert len(found) == is_low
    assert all("(effective rank 3.50 of 32; 100.00 in the first steps)" in h for h in found)


@pytest.mark.parametrize(("last", "diverges"), [("7", False), ("12", True)])
def test_loss_that_rises_to_many_times_its_start_gives_one_warning(
    last, diverges, install, tmp_path, capsys
):
    body = (
        f"level = 0.5 if self.progress.fraction < 0.5 else {last}\n"
        "return StepOutput(level + 0 * z.square().mean(), features=torch.randn_like(h))"
    )
    run_step(body, install, tmp_path, console(), run={"epochs": 5})
    found = [line for line in hints(capsys) if "diverges" in line]
    assert len(found) == diverges
    assert all(
        "after 0.5 when training started" in line and "[optimizer] lr" in line for line in found
    )


def test_probe_no_better_than_guessing_gives_one_hint(install, tmp_path, capsys):
    body = "return StepOutput(z.square().mean(), features=torch.randn_like(h))"
    run_step(body, install, tmp_path, console(), **LONG)
    (hint,) = hints(capsys)
    assert "no better than guessing the most frequent class" in hint
    for setting in ("[optimizer] lr", "[augmentation]"):
        assert setting in hint


def test_run_that_learns_gives_no_hint_and_hints_change_no_bit(tmp_path, capsys, monkeypatch):
    first = run(tmp_path, console(), **LONG)
    assert not [hint for hint in hints(capsys) if "chance (" not in hint]
    monkeypatch.setattr(TrainingHints, "start", lambda *_: None)
    monkeypatch.setattr(TrainingHints, "check_row", lambda *_: None)
    without = {**LONG, "run": {**LONG["run"], "name": "without"}}
    second = run(tmp_path, console(), **without)
    expected, actual = (load_file(o.folder / "backbone.safetensors") for o in (first, second))
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    table = [(o.folder / "metrics.csv").read_text("utf-8") for o in (first, second)]
    assert table[0] == table[1]


DARK = """
import torch
from pydantic import Field
from ssl_host import Augmentation, ArrayImages, DataSource, Settings, hookimpl

class Dark(Augmentation):
    def apply_batch(self, pixels, rng):
        return [pixels * 0.001, pixels * 0.001]

class Plain(DataSource):
    class Config(Settings):
        image_size: int = Field(16, description="side")
        num_images: int = Field(48, description="not used")
        num_test: int = Field(24, description="not used")

    def open(self, split):
        colours = torch.arange(48, dtype=torch.uint8).view(48, 1, 1, 1)
        images = colours.expand(48, 3, 16, 16).clone()
        return ArrayImages(images, None) if split == "train" else None

@hookimpl
def register_augmentations(register):
    register("dark", "ssl_plugin_dark:Dark")

@hookimpl
def register_data(register):
    register("plain", "ssl_plugin_dark:Plain")
"""


def test_views_of_one_colour_give_one_hint(install, tmp_path, capsys):
    install("ssl-plugin-dark", DARK)
    run(tmp_path, console(), augmentation={"name": "dark"})
    (hint,) = (hint for hint in hints(capsys) if "all pixels" in hint)
    assert "100 % of the views" in hint
    assert "[augmentation] dark" in hint


def test_views_of_images_of_one_colour_give_no_hint(install, tmp_path, capsys):
    install("ssl-plugin-dark", DARK)
    run(tmp_path, console(), data={"name": "plain"}, augmentation={"name": "dark"})
    assert not any("all pixels" in hint for hint in hints(capsys))


@pytest.mark.parametrize("levels", [0.2, 0.9])
def test_flat_view_fraction_counts_views_whose_pixels_are_equal(levels):
    views = torch.full((8, 3, 4, 4), levels)
    views[:2] += 0.1 * torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert flat_view_fraction([(views - 0.5) / 0.25], [0.25] * 3) == 0.75


def test_effective_rank_is_the_number_of_directions():
    axes = torch.eye(8).repeat(4, 1)
    signs = torch.tensor([1.0, -1.0]).repeat_interleave(16)[:, None]
    assert effective_rank(axes[:, :4].repeat(1, 2) * signs) == pytest.approx(4, abs=1e-3)
    assert effective_rank(signs.expand(32, 8)) == pytest.approx(1, abs=1e-3)
    assert effective_rank(torch.ones(32, 8)) == pytest.approx(1, abs=1)
