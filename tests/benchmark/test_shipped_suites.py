"""The suites for machines with GPUs: every cell resolves, every network is built."""

from pathlib import Path

import pytest

SUITES = Path(__file__).parents[2] / "benchmarks"
METHODS = ("barlowtwins", "byol", "mocov2", "nnclr", "simclr", "simsiam")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cifar10", "cifar100", "imagenet-100ep"])
def test_every_network_of_a_shipped_suite_is_built(name, ssl_host):
    """Seen to fail with a preset's name misspelt."""
    done = ssl_host("benchmark", str(SUITES / f"{name}.ini"), "--dry-run")
    assert done.returncode == 0, done.stderr
    cells = [line.split("-seed")[0] for line in done.stdout.splitlines()]
    assert cells == list(METHODS)


def test_they_say_that_they_were_not_run():
    for name in ("cifar10", "cifar100", "imagenet-100ep"):
        text = (SUITES / f"{name}.ini").read_text("utf-8")
        assert "has not run it" in text
        assert "[published." in text
