"""Tests of the pytest fixtures of the kit, in a separate pytest process."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssl_host.testing import assert_matches_reference
from tests.processes import run_module

TESTS = """
import torch
from ssl_host.testing import conformance

test_conforms = conformance("scheduler", "warmup_cosine", warmup_epochs=2.0)


def test_method_case(method_case):
    case = method_case("nnclr", queue_size=8)
    method = case.fresh()
    losses = [loss for loss, _ in case.train(method, 2)]
    assert len(method.queue) == 8
    assert losses[0] != losses[1]


def rank():
    import torch.distributed as dist

    return torch.tensor(dist.get_rank())


def test_two_processes(two_processes):
    from test_author import rank

    assert [int(r) for r in two_processes(rank)] == [0, 1]


def test_run_tiny(run_tiny):
    results = run_tiny({"method": {"name": "simsiam"}, "run": {"epochs": 1}})
    assert results["steps"] == 3
    assert results["metrics"]["rankme"] > 1
"""


def test_reference_names_what_differs():
    x, y = torch.ones(3, requires_grad=True), torch.ones(2, requires_grad=True)
    assert_matches_reference((x**2).sum() + y.sum(), 2 * x.sum() - 3 + y.sum(), [x, y])
    assert_matches_reference((x**2).sum(), x.square().sum(), [x, y])  # no gradient is 0
    with pytest.raises(AssertionError, match=r"the loss differs .* by 3.*e\+00"):
        assert_matches_reference(x.sum(), x.sum() - 3, [x])
    with pytest.raises(AssertionError, match=r"gradient of tensor 1, of shape \(2,\)"):
        assert_matches_reference(x.sum() + y.sum(), x.sum() + 2 * y.sum() - 2, [x, y])
    with pytest.raises(AssertionError, match="the loss"):
        assert_matches_reference(x.sum() * float("nan"), x.sum(), [x])


@pytest.mark.slow
def test_fixtures_work_in_tests_of_a_plugin(tmp_path):
    (tmp_path / "test_author.py").write_text(TESTS, encoding="utf-8")
    options = ("-q", "-p", "no:cacheprovider", "test_author.py")
    done = run_module("pytest", *options, environment={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout, done.stdout


def test_fixtures_module_imports_no_torch():
    code = "import ssl_host.testing.fixtures, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
