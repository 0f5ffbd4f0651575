"""Finished runs to export, trained when a test first asks for them, and the real command."""

import pytest
import torch

import ssl_host
from ssl_host import Catalog

BACKBONES = {
    "small": {"name": "small_conv", "width": 8, "num_stages": 3},
    "resnet": {"name": "timm", "model": "resnet18"},
    "cifar": {"name": "timm", "model": "resnet18", "stem": "cifar"},
    "vit": {"name": "timm", "model": "vit_tiny_patch16_224", "patch_size": 4},
    "mobilenet": {"name": "torchvision", "model": "mobilenet_v3_small"},
    "torch-cifar": {"name": "torchvision", "model": "resnet18", "stem": "cifar"},
}
# Numbers of channels without pretrained weights show that the exports do not assume three.
CHANNELS = {"resnet": 4, "mobilenet": 1, "cifar": 1}


@pytest.fixture(autouse=True)
def one_thread():
    """Two test processes on two cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def catalog():
    return Catalog()


@pytest.fixture(scope="session")
def config_of():
    """Return a function that makes the configuration of a run of a few steps."""
    return run_config


@pytest.fixture(scope="session")
def run_of(tmp_path_factory):
    """Return a function from the key of a backbone to the folder of its finished run."""
    root = tmp_path_factory.mktemp("runs")

    def make(name):
        if not (root / name).exists():
            ssl_host.run(run_config(name, root, epochs=1), quiet=True)
        return root / name

    return make


def run_config(backbone, folder, name=None, **run):
    """Return the configuration of a run of a few steps, by section."""
    return {
        "run": {"name": name or backbone, "dir": folder, "batch_size": 16, "seed": 1, **run},
        "method": {"name": "simclr"},
        "data": {
            "name": "synthetic",
            "num_images": 48,
            "num_test": 24,
            "image_size": 16,
            "num_channels": CHANNELS.get(backbone, 3),
        },
        "backbone": BACKBONES[backbone],
        "head.projector": {"hidden_dim": 32, "output_dim": 16},
        "optimizer": {"name": "sgd", "lr": 0.002, "momentum": 0.9},
        "scheduler": {"warmup_epochs": 0},
        "trainer": {"num_threads": 1, "log_every": 1, "precision": "32-true"},
        "evaluator.rankme": {"name": "rankme"},
        "evaluator.knn": {"name": "knn", "k": 3},
    }


@pytest.fixture
def command(ssl_host_command):
    """Run ssl-host in this process."""
    return ssl_host_command
