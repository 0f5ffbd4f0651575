"""Frozen networks of a method: their section, weights, state in checkpoints, and references."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.resolve import resolve_sections
from ssl_host.errors import CheckpointError, ConfigError
from ssl_host.pipeline.network_weights import load_frozen_weights
from ssl_host.testing.interruption import stopped_after
from tests.conftest import tiny
from tests.train.step_plugin import run

PLUGIN = """
import torch
from ssl_host import Method, StepOutput, hookimpl

@hookimpl
def register_methods(register):
    register("student", "ssl_plugin_student:Student")

class Student(Method):
    heads = {"projector": "backbone"}
    frozen = ("teacher",)
    min_views = 1
    recipe = {
        "backbone.teacher": {"name": "small_conv", "width": 4, "num_stages": 2},
        "head.projector": {"output_dim": "${backbone.teacher.feature_dim}"},
    }

    def step(self, batch):
        h = self.backbone(batch.views[0])
        with torch.no_grad():
            t = self.teacher(self.teacher.normalised_for(batch.views[0]))
        return StepOutput((self.projector(h) - t).square().mean(), features=h)
"""


@pytest.fixture(autouse=True)
def plugin(install):
    install("ssl-plugin-student", PLUGIN)


def config(**sections):
    catalog = Catalog()
    sections = {"method": {"name": "student"}, **sections}
    full = tiny(**sections)
    full["head.projector"] = {"hidden_dim": 8}
    return resolve_sections(full, catalog), catalog


def test_section_builds_the_teacher_and_references_take_its_width():
    resolved, _ = config()
    method = compose(resolved).method
    assert method.teacher.feature_dim == 8
    assert method.projector.output_dim == 8
    assert "output_dim = ${backbone.teacher.feature_dim}" in resolved.to_ini()


def test_reference_to_a_width_that_the_network_lacks_is_an_error():
    sections = {"head.projector": {"output_dim": "${backbone.teacher.patch_size}"}}
    catalog = Catalog()
    full = {**tiny(method={"name": "student"}), **sections}
    with pytest.raises(ConfigError, match=r"the network \[backbone.teacher\] has no patch_size"):
        compose(resolve_sections(full, catalog))


def test_teacher_does_not_shift_the_weights_of_the_student():
    narrow, wide = (
        compose(config(**{"backbone.teacher": {"width": width}})[0]).method for width in (4, 8)
    )
    assert torch.equal(narrow.backbone.layers[0].weight, wide.backbone.layers[0].weight)


def test_section_of_no_frozen_network_is_an_error():
    with pytest.raises(ConfigError, match=r"frozen networks are \[backbone.teacher\]"):
        config(**{"backbone.techer": {"name": "small_conv"}})


def save_teacher(folder, mean=None):
    folder.mkdir()
    resolved, _ = config(run={"seed": 5})
    teacher = compose(resolved).method.teacher
    save_file(teacher.state_dict(), folder / "backbone.safetensors")
    if mean is not None:
        about = {"mean": [mean] * 3, "std": [0.5] * 3}
        (folder / "backbone.json").write_text(json.dumps(about))
    return teacher


def test_init_from_loads_weights_and_their_mean_and_std(tmp_path):
    saved = save_teacher(tmp_path / "teacher", mean=0.25)
    path = tmp_path / "teacher" / "backbone.safetensors"
    resolved, catalog = config(**{"backbone.teacher": {"init_from": str(path)}})
    method = compose(resolved).method
    notes, warnings = load_frozen_weights(method, resolved, catalog)
    assert len(notes) == 1
    assert not warnings
    assert torch.equal(method.teacher.layers[0].weight, saved.layers[0].weight)
    views = torch.randn(2, 3, 4, 4)
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (method.plan.mean, method.plan.std))
    expected = (views * std + mean - 0.25) / 0.5
    assert torch.allclose(method.teacher.normalised_for(views), expected, atol=1e-6)


def test_weights_without_mean_and_std_take_the_views_as_they_are():
    method = compose(config()[0]).method
    views = torch.randn(2, 3, 4, 4)
    assert method.teacher.normalised_for(views) is views


def test_random_teacher_is_warned_of(tmp_path):
    outcome = run(tmp_path, method={"name": "student"}, **{"head.projector": {"hidden_dim": 8,
        "output_dim": "${backbone.teacher.feature_dim}"}})  # fmt: skip
    for texts in (outcome.results["notes"], outcome.printed):
        assert any("random weights" in note for note in texts)


def test_resume_with_another_teacher_is_refused(tmp_path):
    settings = {
        "method": {"name": "student"},
        "head.projector": {"hidden_dim": 8, "output_dim": "${backbone.teacher.feature_dim}"},
        "checkpoint": {"every_minutes": 1e-9},
    }
    save_teacher(tmp_path / "teacher")
    path = tmp_path / "teacher" / "backbone.safetensors"
    teacher = {"backbone.teacher": {"init_from": str(path)}}
    with stopped_after(3):
        run(tmp_path, **settings, **teacher)
    tensors = {"layers.0.weight": torch.zeros(4, 3, 3, 3)}

    save_file({**load_file(path), **tensors}, path)
    with pytest.raises(CheckpointError, match="the frozen network teacher has different weights"):
        run(tmp_path, **settings, **teacher)


def test_frozen_network_without_a_name_is_an_error(install):
    install(
        "ssl-plugin-bare",
        PLUGIN.replace('"student"', '"bare"')
        .replace("ssl_plugin_student", "ssl_plugin_bare")
        .replace('"name": "small_conv", ', ""),
    )
    with pytest.raises(ConfigError, match=r"\[backbone.teacher\] needs a name"):
        config(method={"name": "bare"})
