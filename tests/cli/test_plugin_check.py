"""``ssl-host plugin check`` as a process."""

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
def test_a_shipped_method_passes_every_check(ssl_host):
    """The loss comes with the method: both are checked."""
    done = ssl_host("plugin", "check", "ssl-plugin-barlowtwins")
    assert done.returncode == 0, done.stdout
    assert "method barlowtwins: one_process_equals_two passed" in done.stdout
    assert "loss barlow_twins: two_processes passed" in done.stdout


def test_a_failure_says_what_why_and_how(ssl_host, install):
    file = install("ssl-plugin-flat", BAD)
    env = {"PYTHONPATH": str(file.parent)}
    done = ssl_host("plugin", "check", "flat", env=env)
    assert done.returncode == 1
    assert "scheduler flat: factors failed\n  factor(0, 1, 1) is -1.0\n  why it matters:" in (
        done.stdout
    )
    assert done.stderr.startswith("error: ssl-plugin-flat 1.0 fails 2 of 5 checks")
    done = ssl_host("plugin", "check", "flat", "--json", "--only", "documented", env=env)
    assert [o["state"] for o in json.loads(done.stdout)] == ["passed"]


def test_what_no_component_would_be_given_is_refused(ssl_host):
    """Seen to fail with unknown sections and checks passed over: everything was well, status 0."""
    for words, told in (
        (
            ("-o", "nonsense.x=1"),
            "-o nonsense.x=1: [nonsense] is no section of the plugin's method",
        ),
        (("--only", "nothere"), "no check of this plugin is called 'nothere': documented, "),
        (("--skip", "nothere"), "no check of this plugin is called 'nothere': documented, "),
    ):
        done = ssl_host("plugin", "check", "simsiam", *words)
        assert done.returncode == 2
        assert told in done.stderr


def test_sections_of_a_method_reach_it_and_checks_can_be_skipped(ssl_host):
    checks = ("--only", "settings_described", "--only", "finite_loss", "--skip", "finite_loss")
    done = ssl_host("plugin", "check", "simsiam", *checks)
    assert done.stdout.count("passed") == 2  # one check, and the sum
    wrong = ("-o", "head.projector.output_dim=0", "--only", "finite_loss")
    done = ssl_host("plugin", "check", "simsiam", *wrong)
    assert done.returncode == 1
    assert "[head.projector] output_dim = 0" in done.stdout


def test_an_unknown_name_is_suggested_and_a_broken_plugin_is_told(ssl_host, install):
    done = ssl_host("plugin", "check", "ssl-plugin-simclar")
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "no plugin or distribution is called 'ssl-plugin-simclar'; "
        "did you mean 'ssl-plugin-simclr'?"
    )
    file = install("ssl-plugin-broken", "import nothing_like_this")
    done = ssl_host("plugin", "check", "broken", env={"PYTHONPATH": str(file.parent)})
    assert done.returncode == 2
    assert "ssl-plugin-broken 1.0 is broken: import failed: ModuleNotFoundError" in done.stderr
