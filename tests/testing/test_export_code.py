"""Tests that the kit runs the code with which a backbone says how to build it elsewhere."""

import pytest
from torch import nn

from ssl_host import Backbone
from ssl_host.testing import CheckTarget
from ssl_host.testing.suite import run_check


class CorrectCode(Backbone):
    code = ["from torch import nn", "model = nn.Conv2d(3, 4, 3)"]

    def setup(self):
        self.layer = nn.Conv2d(self.in_channels, 4, 3)
        self.feature_dim = 4

    def forward(self, images):
        return self.layer(images).mean(dim=(2, 3))

    def export(self):
        return self.layer, {"library": "torch", "code": self.code}


class WrongWidth(CorrectCode):
    code = ["from torch import nn", "model = nn.Conv2d(3, 8, 3)"]


class WrongVariable(CorrectCode):
    code = ["network = 1"]


def test_export_with_correct_code_passes():
    assert run_check(CheckTarget("backbone", CorrectCode), "export").state == "passed"


@pytest.mark.parametrize(
    ("cls", "reason"), [(WrongWidth, "size mismatch"), (WrongVariable, "'model'")]
)
def test_export_with_wrong_code_fails(cls, reason):
    outcome = run_check(CheckTarget("backbone", cls), "export")
    assert outcome.state == "failed"
    assert "the code that export() returns builds a different module" in outcome.what
    assert reason in outcome.what
