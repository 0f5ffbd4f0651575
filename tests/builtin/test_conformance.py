"""The built-in components keep the contract that everybody's do."""

import pytest

from ssl_host.testing import CheckTarget
from ssl_host.testing.suite import checks_of, run_check

DOWNLOADED = {"stl10", "imagenet", "cifar10", "cifar100"}
LEFT_OUT = {"data": DOWNLOADED | {"imagefolder", "csv", "webdataset"}}
KINDS = ["augmentation", "backbone", "head", "loss", "optimizer", "scheduler"]
KINDS += ["evaluator", "data", "logger"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_built_in_component_conforms(kind, catalog):
    """Data that is not here is left out: its sources are tested on files of their form."""
    names = {e.name for e in catalog.entries(kind) if e.origin.plugin == "builtin"}
    assert names
    for name in sorted(names - LEFT_OUT.get(kind, set())):
        for check in checks_of(kind):
            outcome = run_check(CheckTarget(kind, name), check)
            assert outcome.state != "failed", str(outcome)
