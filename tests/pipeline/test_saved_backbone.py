"""The backbone in a run folder computes what was evaluated, or the run fails."""

import pytest

from ssl_host.errors import RunError
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
    with pytest.raises(RunError, match=r"export\(\) of Halved must return the whole network"):
        run(tmp_path, backbone={"name": "halved"})
