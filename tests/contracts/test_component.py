"""Tests of the component base class: settings, their types, mistakes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import Field

import ssl_host
from ssl_host import Loss, Optimizer, OptimizerConfig, Settings
from ssl_host.errors import ContractError

ROOT = Path(__file__).parents[2]

TYPED = """\
from pydantic import Field
from ssl_host import Loss, Optimizer, OptimizerConfig, Settings

class Typed(Loss):
    class Config(Settings):
        temperature: float = Field(0.1, description="temperature")

    config: Config

    def setup(self) -> None:
        reveal_type(self.config.temperature)  # builtins.float

class Extended(Typed):
    class Config(Typed.Config):
        size: int = Field(3, description="size")

    config: Config

    def setup(self) -> None:
        reveal_type(self.config.size)  # builtins.int
        reveal_type(self.config.temperature)  # builtins.float

class TypedOptimizer(Optimizer):
    class Config(OptimizerConfig):
        momentum: float = Field(0.9, description="momentum")

    config: Config

    def setup(self) -> None:
        reveal_type(self.config.momentum)  # builtins.float
        reveal_type(self.config.lr)  # builtins.float | None

class Untyped(Loss):
    class Config(Settings):
        temperature: float = Field(0.1, description="temperature")

    def setup(self) -> None:
        reveal_type(self.config.temperature)  # Any
"""


def test_annotation_gives_settings_their_types_in_mypy(tmp_path):
    file = tmp_path / "typed.py"
    file.write_text(TYPED, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", file],
        cwd=ROOT,  # to use the cache of the repository
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    expected = re.findall(r"reveal_type.*  # (.*)", TYPED)
    revealed = re.findall(r'Revealed type is "(.*)"', done.stdout)
    assert [re.sub(r"^float\b|^int\b", r"builtins.\g<0>", kind) for kind in revealed] == expected


def test_component_without_config_has_no_settings():
    class Plain(Loss):
        pass

    assert Plain(Plain.Config()).config == Settings()
    assert Plain.Config.model_fields == {}


def test_optimizer_without_config_has_the_common_settings():
    class Plain(Optimizer):
        pass

    assert Plain(Plain.Config(lr=0.5)).learning_rate(1024) == 0.5
    assert Plain(Plain.Config(base_lr=0.5)).learning_rate(1024) == 2.0
    assert Plain.Config is OptimizerConfig


def test_config_that_is_not_a_settings_class_is_rejected():
    with pytest.raises(ContractError, match=r"Wrong\.Config must inherit from ssl_host\.Settings"):

        class Wrong(Loss):
            class Config:
                temperature = 0.1


def test_setting_without_description_is_rejected():
    with pytest.raises(ContractError, match=r"Config: size, width without a description"):

        class Config(Settings):
            size: int = 3
            width: int = Field(3)


def test_enqueue_that_names_no_module_is_an_error_with_the_modules_of_the_method():
    backbone = ssl_host.build("backbone", "small_conv", in_channels=3, image_size=16, num_stages=2)
    method = ssl_host.build("method", "nnclr", backbone=backbone, queue_size=8)
    out = ssl_host.StepOutput(torch.zeros(()), enqueue={"quue": torch.zeros(2, 4)})
    with pytest.raises(ContractError, match=r"enqueue names 'quue'.*queue"):
        method.finish_step(out, 0, 10)
