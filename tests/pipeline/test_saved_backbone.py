"""The backbone in a run folder computes what was evaluated, or the run fails."""

import json

import numpy as np
import pytest
from PIL import Image

import ssl_host
from ssl_host import UserError, load_backbone
from ssl_host.errors import RunError
from tests.conftest import tiny
from tests.train.step_plugin import run

PLUGIN = """
from pydantic import Field
from torch import nn
from ssl_host import Backbone, Settings, hookimpl

@hookimpl
def register_backbones(register):
    register("halved", "ssl_plugin_halved:Halved")

class Halved(Backbone):
    class Config(Settings):
        width: int = Field(8, description="not used")
        num_stages: int = Field(1, description="not used")

    def setup(self):
        self.body = nn.Conv2d(self.in_channels, 8, 3)
        self.scale = nn.Parameter(2 * self.body.weight.new_ones(8))
        self.feature_dim = 8

    def forward(self, images):
        return self.body(images).relu().mean(dim=(2, 3)) * self.scale

    def export(self):
        MODULE
"""


def test_export_without_a_layer_fails_the_run(install, tmp_path):
    module = """return self.body, {"library": "halved"}"""
    install("ssl-plugin-halved", PLUGIN.replace("MODULE", module))
    with pytest.raises(RunError, match=r"Halved\.export\(\) must return the whole network"):
        run(tmp_path, backbone={"name": "halved"})


def test_backbone_keeps_fit_and_value_range_of_its_run(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(6):
            values = np.random.default_rng(i).integers(0, 4096, (12, 30), dtype=np.uint16)
            Image.fromarray(values).save(tmp_path / "images" / name / f"{i}.png")
    data = {"name": "imagefolder", "root": tmp_path / "images", "image_size": 16}
    data |= {"fit": "squash", "value_range": (0, 4095)}
    sections = tiny(
        run={"dir": tmp_path, "batch_size": 4, "epochs": 1},
        loader={"cache_dir": tmp_path / "cache"},
    )
    ssl_host.run({**sections, "data": data}, quiet=True)
    description = tmp_path / "tiny" / "backbone.json"
    backbone = load_backbone(description.parent)
    assert (backbone.fit, backbone.value_range) == ("squash", (0, 4095))
    content = json.loads(description.read_text())
    del content["fit"], content["value_range"]  # as an earlier version wrote it
    description.write_text(json.dumps(content))
    backbone = load_backbone(description.parent)
    assert (backbone.fit, backbone.value_range) == ("crop", None)
    description.write_text(json.dumps({**content, "fit": "stretch"}))
    with pytest.raises(UserError, match="fit is 'stretch', expected one of crop, squash, pad"):
        load_backbone(description.parent)
