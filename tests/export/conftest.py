"""Finished runs to export, each made when it is first asked for."""

import pytest
from rich.console import Console

from ssl_host.config.resolve import resolve_sections
from ssl_host.pipeline.run import run_config
from tests.conftest import tiny

BACKBONES = {
    "small": {"width": 8, "num_stages": 3},
    "resnet": {"name": "timm", "model": "resnet18"},
    "cifar": {"name": "timm", "model": "resnet18", "stem": "cifar"},
    "vit": {"name": "timm", "model": "vit_tiny_patch16_224", "patch_size": 4},
    "mobilenet": {"name": "torchvision", "model": "mobilenet_v3_small"},
    "torch-cifar": {"name": "torchvision", "model": "resnet18", "stem": "cifar"},
}
# Of four channels there are no weights anywhere: nothing may be made of three.
CHANNELS = {"resnet": 4, "mobilenet": 1, "cifar": 1}


@pytest.fixture(scope="session")
def run_of(tmp_path_factory, catalog):
    """The folder of a finished run of one of the backbones."""
    root = tmp_path_factory.mktemp("runs")

    def make(name):
        if not (root / name).exists():
            config = tiny(
                run={"name": name, "dir": root, "epochs": 1},
                data={"num_channels": CHANNELS.get(name, 3)},
                optimizer={"lr": 0.002},
                trainer={"precision": "32-true"},
            )
            config["backbone"] = BACKBONES[name]
            config["evaluator.knn"] = {"name": "knn", "k": 3}
            run_config(resolve_sections(config, catalog), catalog, Console(quiet=True))
        return root / name

    return make
