"""The suites for machines with GPUs: every run resolves and every network can be built."""

from configparser import ConfigParser
from pathlib import Path

import pytest
from ssl_plugin_benchmark.suite import read_suite

SUITES = Path(__file__).parents[3] / "benchmarks"
NAMES = ("cifar10", "cifar100", "imagenette", "imagenet100", "imagenet-100ep")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_dry_run_of_shipped_suite_builds_every_network(name, invoke):
    parser = ConfigParser()
    parser.read(SUITES / f"{name}.ini")
    methods = parser["suite"]["methods"].replace("\n", " ").split(",")
    output = invoke(SUITES / f"{name}.ini", "--dry-run")
    built = [line.split("-seed")[0] for line in output.splitlines()]
    assert built == [method.strip() for method in methods]


def test_shipped_suites_say_that_they_were_not_run():
    for name in NAMES:
        text = (SUITES / f"{name}.ini").read_text("utf-8")
        assert "has not run it" in text
        assert "[published." in text


LARS, SGD = ("lars", "weights"), ("sgd", "all")
SOLO_LEARN = {
    "all4one": (*LARS, 1.0, 1e-5, 10),
    "barlowtwins": (*LARS, 0.3, 1e-4, 10),
    "byol": (*LARS, 0.5, 1e-6, 10),
    "deepclusterv2": (*LARS, 0.6, 1e-6, 11),
    "dino": (*LARS, 0.3, 1e-6, 10),
    "mocov2": (*SGD, 0.3, 1e-4, 10),
    "mocov3": (*LARS, 0.3, 1e-6, 10),
    "nnclr": (*LARS, 0.4, 1e-5, 10),
    "ressl": (*SGD, 0.3, 1e-4, 10),
    "simclr": (*LARS, 0.3, 1e-4, 10),
    "simsiam": (*SGD, 0.5, 1e-5, 10),
    "supcon": (*SGD, 0.175, 2.86e-5, 10),  # 0.5 and 1e-5, divided and multiplied by 0.2 / 0.07
    "swav": (*LARS, 0.6, 1e-6, 10),
    "vibcreg": (*LARS, 0.3, 1e-4, 10),
    "vicreg": (*LARS, 0.3, 1e-4, 10),
    "wmse": ("adamw", "all", 0.002, 1e-6, 10),
}
"""Optimizer, parameters with weight decay, learning rate, weight decay and warm-up."""
LIGHTLY = {
    **dict.fromkeys(("simclr", "dcl", "dclw", "mocov2", "nnclr", "simsiam"), (*SGD, 0.06, 5e-4, 0)),
    **dict.fromkeys(("barlowtwins", "dino"), (*SGD, 0.06, 5e-4, 0)),
    "byol": (*SGD, 0.015, 2e-3, 0),  # 0.06 and 5e-4, for a loss that is four times lightly's
    "swav": ("adamw", "all", 0.001, 1e-6, 0),
    "tico": (*SGD, 0.3, 1e-4, 40),
    "vicreg": ("lars", "all", 0.3, 1e-4, 40),
}


@pytest.mark.parametrize(
    ("name", "expected", "run"),
    [("imagenet100", SOLO_LEARN, (400, 256, 224)), ("imagenette", LIGHTLY, (800, 256, 128))],
)
def test_presets_of_a_shipped_suite_have_the_values_of_the_published_runs(
    name, expected, run, catalog
):
    found = {}
    for suite_run in read_suite(SUITES / f"{name}.ini", ["suite.seeds=0"], catalog).runs:
        config = suite_run.config
        settings = {kind: part.settings for kind, part in config.components.items()}
        optimizer, scheduler = settings["optimizer"], settings["scheduler"]
        size = settings["data"].image_size
        assert (config.run.epochs, config.run.batch_size, size) == run
        assert config.trainer.gradient_clip is None
        assert scheduler.start_factor == 0
        method = suite_run.combination["method"]
        assert scheduler.min_factor == (0.001 if method == "deepclusterv2" else 0)
        found[method] = (
            config.components["optimizer"].name,
            optimizer.decay_params,
            optimizer.base_lr,
            optimizer.weight_decay,
            scheduler.warmup_epochs,
        )
    assert found == expected
