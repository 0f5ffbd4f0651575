"""Tests that the built-in components pass the conformance checks."""

import pytest

from ssl_host.testing import CheckTarget
from ssl_host.testing.suite import run_checks

# These need downloads or files; other tests cover them with small files.
SKIPPED = {"data": {"stl10", "imagenet", "cifar10", "cifar100", "imagefolder", "csv", "webdataset"}}
KINDS = ["augmentation", "backbone", "head", "loss", "optimizer", "scheduler"]
KINDS += ["evaluator", "baseline", "data", "logger"]
SETTINGS = {"pretrained": {"backbone": "any"}}


@pytest.mark.parametrize("kind", KINDS)
def test_built_in_components_pass_all_checks(kind, catalog):
    names = {e.name for e in catalog.entries(kind) if e.origin.plugin == "builtin"}
    assert names
    for name in sorted(names - SKIPPED.get(kind, set())):
        for outcome in run_checks(CheckTarget(kind, name, SETTINGS.get(name, {}))):
            assert outcome.state != "failed", str(outcome)
