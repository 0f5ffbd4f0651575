"""The command ``ssl-host plugin check``."""

import json

import pytest

BAD = '''
from ssl_host import Scheduler, hookimpl


class Flat(Scheduler):
    """One rate. No paper."""

    def factor(self, step, total_steps, steps_per_epoch):
        return -1.0


@hookimpl
def register_schedulers(register):
    register("flat", "ssl_plugin_flat:Flat", "one rate")
'''


@pytest.mark.slow
def test_plugin_with_a_method_and_a_loss_passes_the_checks_of_both(ssl_host):
    done = ssl_host("plugin", "check", "ssl-plugin-barlowtwins")
    assert done.returncode == 0, done.stdout
    assert "method barlowtwins: one_process_equals_two passed" in done.stdout
    assert "loss barlow_twins: one_process_equals_two passed" in done.stdout


def test_failed_check_prints_what_is_wrong_and_why(ssl_host, install):
    file = install("ssl-plugin-flat", BAD)
    env = {"PYTHONPATH": str(file.parent)}
    done = ssl_host("plugin", "check", "flat", env=env)
    assert done.returncode == 1
    assert "scheduler flat: factors failed\n  factor(0, 1, 1) is -1.0\n  why" in done.stdout
    assert "ssl-plugin-flat 1.0 fails 2 of 5 checks" in done.stderr
    done = ssl_host("plugin", "check", "flat", "--json", "--only", "documented", env=env)
    assert [o["state"] for o in json.loads(done.stdout)] == ["passed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("-o", "nonsense.x=1"),
            "-o nonsense.x=1: this plugin has no component of kind 'nonsense'",
        ),
        (("--only", "nothere"), "unknown check 'nothere'; the checks are documented, "),
        (("--skip", "nothere"), "unknown check 'nothere'; the checks are documented, "),
    ],
)
def test_option_for_an_unknown_kind_or_check_is_refused(arguments, message, ssl_host):
    done = ssl_host("plugin", "check", "simsiam", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_settings_of_a_section_reach_the_method_and_skipped_checks_do_not_run(ssl_host):
    checks = ("--only", "settings_described", "--only", "finite_loss", "--skip", "finite_loss")
    done = ssl_host("plugin", "check", "simsiam", *checks)
    assert done.stdout.count("passed") == 2  # one check and the total
    wrong = ("-o", "head.projector.output_dim=0", "--only", "finite_loss")
    done = ssl_host("plugin", "check", "simsiam", *wrong)
    assert done.returncode == 1
    assert "[head.projector] output_dim = 0" in done.stdout


def test_unknown_or_broken_plugin_is_refused_with_a_reason(ssl_host, install):
    done = ssl_host("plugin", "check", "ssl-plugin-simclar")
    assert done.returncode == 2
    assert "unknown plugin 'ssl-plugin-simclar'; did you mean 'ssl-plugin-simclr'?" in done.stderr
    file = install("ssl-plugin-broken", "import nothing_like_this")
    done = ssl_host("plugin", "check", "broken", env={"PYTHONPATH": str(file.parent)})
    assert done.returncode == 2
    assert "ssl-plugin-broken 1.0 is broken: import failed: ModuleNotFoundError" in done.stderr


TYPED = """\
from typing import Literal
import torch
from pydantic import Field
from ssl_host import Loss, Settings, hookimpl

ssl_host_api = 1

class Typed(Loss):
    '''A loss with settings of several types.'''

    class Config(Settings):
        power: Literal[1, 2] = Field(1, description="power")
        weights: list[float] = Field([1.0], description="weights")
        scale: float | None = Field(1.0, gt=0, description="scale")
        name: str = Field("a", description="name")

    def forward(self, z1, z2):
        assert (self.config.power, self.config.weights, self.config.scale) == (2, [0.5], None)
        assert self.config.name == " x"
        return 0.5 * ((z1 - z2) ** self.config.power).mean()

@hookimpl
def register_losses(register):
    register("typed", "ssl_plugin_typed:Typed", "a loss")
"""


def test_options_of_a_check_are_read_as_those_of_run(ssl_host, install):
    install("ssl-plugin-typed", TYPED)
    options = ("loss.power=2", "loss.weights=[0.5]", "loss.scale=none", 'loss.name=" x"')
    arguments = [word for option in options for word in ("-o", option)]
    done = ssl_host("plugin", "check", "typed", *arguments, "--only", "finite_loss")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("passed") == 2  # the check and the total


PRESETS = """
from ssl_host import hookimpl


@hookimpl
def register_presets(register):
    for name in ("good", "bad", "photos", "part"):
        register(name, f"ssl_plugin_sets:{name}.ini")
"""
FILES = {
    "good.ini": "[method]\nname = simclr\n",
    "bad.ini": "[run]\nextends = good\nepoch = 3\n[loss]\ntemperature = -1\n",
    "photos.ini": "[method]\nname = simclr\n[data]\nname = imagefolder\n",
    "part.ini": "[run]\nepochs = 3\n",
}


def test_presets_that_do_not_resolve_fail_with_file_and_line(ssl_host, install):
    file = install("ssl-plugin-sets", "")
    file.unlink()
    package = file.with_suffix("")
    package.mkdir()
    (package / "__init__.py").write_text(PRESETS)
    for name, text in FILES.items():
        (package / name).write_text(text)
    done = ssl_host("plugin", "check", "sets")
    assert done.returncode == 1, done.stderr
    assert "fails 1 of 4 checks" in done.stderr
    for name in ("good", "photos", "part"):  # the user sets what is missing
        assert f"preset {name}: resolves passed" in done.stdout
    assert "preset bad: resolves failed" in done.stdout
    assert f"{package / 'bad.ini'}:3: [run] epoch: unknown key" in done.stdout
    assert f"{package / 'bad.ini'}:5: [loss] temperature = -1" in done.stdout
    skipped = ssl_host("plugin", "check", "sets", "--skip", "resolves")
    assert skipped.returncode == 0, skipped.stderr


def test_checks_of_components_can_be_run_without_those_of_presets(ssl_host):
    done = ssl_host("plugin", "check", "ssl-plugin-wmse", "--only", "resolves")
    assert done.returncode == 0, done.stdout
    assert "preset wmse/imagefolder: resolves passed" in done.stdout
    assert "method wmse" not in done.stdout
