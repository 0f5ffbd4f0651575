"""Commands in processes that are forked from one that has imported torch."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from ssl_host.testing.command_process import CommandProcess
from tests.conftest import as_ini, tiny
from tests.processes import wait_until


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a command in the folder of the test."""

    def start(*arguments, output="out", **options):
        files = {"stdout": tmp_path / output, "stderr": tmp_path / "errors"}
        return CommandProcess(arguments, **files, cwd=tmp_path, **options)

    return start


def test_command_has_its_folder_variables_output_and_status(start, tmp_path):
    (tmp_path / "c.ini").write_text(as_ini(tiny(trainer={"num_threads": "auto"})), "utf-8")
    process = start("run", "c.ini", "--json", environment={"OMP_NUM_THREADS": "3"})
    assert process.wait() == 0, (tmp_path / "errors").read_text()
    assert json.loads((tmp_path / "out").read_text())["name"] == "tiny"
    stored = json.loads((tmp_path / "runs" / "tiny" / "config.json").read_text())
    assert stored["trainer"]["num_threads"] == 3


def test_output_is_appended_and_errors_have_a_status(start, tmp_path):
    for _ in range(2):
        assert start("config", "check", "none.ini").wait() == 2
    assert (tmp_path / "errors").read_text().count("none.ini: no such file") == 2


def test_killed_command_has_the_signal_as_its_status(start, tmp_path):
    (tmp_path / "c.ini").write_text(as_ini(tiny(run={"epochs": 4000})), encoding="utf-8")
    process = start("run", "c.ini")
    assert process.poll() is None
    assert process.wait(timeout=0.01) is None
    wait_until((tmp_path / "runs" / "tiny").is_dir)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.send_signal(signal.SIGTERM)  # the process has ended, so nothing happens


def test_each_of_many_threads_gets_the_status_of_its_own_command(start):
    """Starting a process reads the status of those that have just ended."""

    def run(number):
        words = ("--version",) if number % 2 else ("config", "check", "none.ini")
        return start(*words, output=f"out-{number}").wait()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(40))) == [2, 0] * 20
