"""The suites for machines with GPUs: every run resolves and every network can be built."""

from configparser import ConfigParser
from pathlib import Path

import pytest

SUITES = Path(__file__).parents[3] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cifar10", "cifar100", "imagenet-100ep"])
def test_dry_run_of_shipped_suite_builds_every_network(name, invoke):
    parser = ConfigParser()
    parser.read(SUITES / f"{name}.ini")
    methods = parser["suite"]["methods"].replace("\n", " ").split(",")
    output = invoke(SUITES / f"{name}.ini", "--dry-run")
    built = [line.split("-seed")[0] for line in output.splitlines()]
    assert built == [method.strip() for method in methods]


def test_shipped_suites_say_that_they_were_not_run():
    for name in ("cifar10", "cifar100", "imagenet-100ep"):
        text = (SUITES / f"{name}.ini").read_text("utf-8")
        assert "has not run it" in text
        assert "[published." in text
