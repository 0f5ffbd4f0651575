"""A disk that takes no more: a sentence, the last good state, and going on when there is room."""

import errno
import json
import os
import resource
import subprocess
import sys

import pytest
import torch

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.errors import RunError
from ssl_host.evaluate import extract
from ssl_host.toolkit.atomic_io import atomic_write, atomic_write_text, report_disk_errors, reserve
from tests.conftest import as_ini, tiny


def limited_run(folder, largest=None):
    """The real command, whose files may not become larger; its error is that of a full disk."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    return subprocess.run(
        [sys.executable, "-m", "ssl_host", "run", "c.ini"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=limit if largest else None,
        check=False,
    )


def test_a_full_disk_leaves_the_last_checkpoint_and_the_run_goes_on(tmp_path):
    """Seen to fail with the error of the operating system let through."""
    config = tiny(run={"name": "full", "epochs": 3}, checkpoint={"every_epochs": 1})
    (tmp_path / "c.ini").write_text(as_ini(config), encoding="utf-8")
    torn = limited_run(tmp_path, 20_000)
    told = " ".join(torn.stderr.split())
    assert torn.returncode == 1
    assert "step-000000003.ckpt could not be written: File too large. Free some space" in told
    assert "Traceback" not in torn.stderr
    left = [path.name for path in (tmp_path / "runs" / "full" / "checkpoints").iterdir()]
    assert left == []
    whole = limited_run(tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert json.loads((tmp_path / "runs/full/results.json").read_text())["steps"] == 9


def test_half_a_file_is_not_left_on_a_full_disk_and_the_error_names_it(tmp_path, monkeypatch):
    """Seen to fail with `report.html.partial` left, and the folder named alone."""
    atomic_write(tmp_path / "report.html", b"before")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(RunError, match=r"report\.html could not be written: No space"),
        report_disk_errors(tmp_path),
    ):
        atomic_write(tmp_path / "report.html", b"after")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_bytes() == b"before"


def test_names_of_bytes_can_be_written(tmp_path):
    """Seen to fail with strict UTF-8: no results after all of the training."""
    content = {"image": os.fsdecode(b"\xff.png")}
    atomic_write_text(tmp_path / "x.json", json.dumps(content, ensure_ascii=False))
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == content


def test_a_logger_on_a_full_disk_is_not_blamed(tmp_path):
    """Seen to fail with every error of a component taken for its fault."""

    class Full:
        pass

    with (
        pytest.raises(RunError, match=r"metrics\.csv could not be written: No space") as caught,
        report_disk_errors(tmp_path),
        attribute_errors(Full(), "while logging"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.csv")
    assert "Free some space and give the same command again" in str(caught.value)


@pytest.mark.parametrize("name", ["EROFS", "EIO", "ESTALE"])
def test_a_disk_that_fails_is_named(name, tmp_path):
    """Seen to fail with full disks alone told: a traceback, or the component's fault."""
    number = getattr(errno, name)

    class Gone:
        pass

    with (
        pytest.raises(RunError, match=r"metrics\.csv could not be used: .*\. See to that disk and"),
        report_disk_errors(tmp_path),
        attribute_errors(Gone(), "while logging"),
    ):
        raise OSError(number, os.strerror(number), "metrics.csv")


def test_other_errors_of_files_are_not_taken_for_it(tmp_path):
    with pytest.raises(FileNotFoundError), report_disk_errors(tmp_path):
        (tmp_path / "nowhere").read_text()


def test_room_is_taken_before_a_file_is_mapped(tmp_path, monkeypatch):
    """A mapped page that finds no room kills the process without a word.

    Seen to fail with the file mapped as it was made, with holes.
    """
    with (tmp_path / "whole").open("wb") as file:
        reserve(file.fileno(), 1_000_000, tmp_path / "whole")
    assert (tmp_path / "whole").stat().st_blocks * 512 >= 1_000_000

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(extract, "IN_MEMORY", 0)
    with pytest.raises(OSError, match="No space left on device"):
        extract.representations(torch.zeros(10, 100), {"": lambda block: block}, tmp_path)
