"""The code by which a backbone says how it is made elsewhere is tried by the kit."""

import pytest
from torch import nn

from ssl_host import Backbone
from ssl_host.testing import CheckTarget
from ssl_host.testing.suite import run_check


class Coded(Backbone):
    code = ["from torch import nn", "model = nn.Conv2d(3, 4, 3)"]

    def setup(self):
        self.layer = nn.Conv2d(self.in_channels, 4, 3)
        self.feature_dim = 4

    def forward(self, images):
        return self.layer(images).mean(dim=(2, 3))

    def export(self):
        return self.layer, {"library": "torch", "code": self.code}


class Wider(Coded):
    code = ["from torch import nn", "model = nn.Conv2d(3, 8, 3)"]


class Misspelt(Coded):
    code = ["network = 1"]


def test_code_that_makes_the_module_passes():
    assert run_check(CheckTarget("backbone", Coded), "export").state == "passed"


@pytest.mark.parametrize(("cls", "reason"), [(Wider, "size mismatch"), (Misspelt, "'model'")])
def test_code_that_makes_another_is_caught(cls, reason):
    outcome = run_check(CheckTarget("backbone", cls), "export")
    assert outcome.state == "failed"
    assert "the code that export() gives makes another module" in outcome.what
    assert reason in outcome.what
