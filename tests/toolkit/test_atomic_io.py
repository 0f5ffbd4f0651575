"""Tests of atomic writes and of full or failing disks."""

import errno
import json
import os
import resource
import sys

import pytest
import torch

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.errors import RunError
from ssl_host.evaluate import extract
from ssl_host.toolkit.atomic_io import (
    atomic_write,
    atomic_write_text,
    report_disk_errors,
    reserve_disk_space,
)
from tests.conftest import as_ini, tiny
from tests.processes import Command


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process")
def test_run_on_a_full_disk_fails_cleanly_and_resumes(tmp_path):
    config = tiny(run={"name": "full", "epochs": 3}, checkpoint={"every_epochs": 1})
    (tmp_path / "c.ini").write_text(as_ini(config), encoding="utf-8")
    process = Command("run", "c.ini", cwd=tmp_path)
    # A limit on file size, whose error is like that of a full disk.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    status, stderr = process.finish()
    assert status == 1
    message = " ".join(stderr.split())
    assert "step-000000003.ckpt could not be written: File too large. Free some space" in message
    assert "Traceback" not in stderr
    checkpoints = [path.name for path in (tmp_path / "runs" / "full" / "checkpoints").iterdir()]
    assert checkpoints == []
    status, stderr = Command("run", "c.ini", cwd=tmp_path).finish()
    assert status == 0, stderr
    assert json.loads((tmp_path / "runs/full/results.json").read_text())["steps"] == 9


def test_atomic_write_on_a_full_disk_keeps_the_old_file_and_names_it(tmp_path, monkeypatch):
    atomic_write(tmp_path / "report.html", b"before")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(RunError, match=r"report\.html cannot be written: No space"),
        report_disk_errors(tmp_path),
    ):
        atomic_write(tmp_path / "report.html", b"after")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_bytes() == b"before"


def test_atomic_write_text_escapes_undecodable_file_names(tmp_path):
    content = {"image": os.fsdecode(b"\xff.png")}
    atomic_write_text(tmp_path / "x.json", json.dumps(content, ensure_ascii=False))
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == content


def test_disk_error_in_a_component_is_not_attributed_to_it(tmp_path):

    class Full:
        pass

    with (
        pytest.raises(RunError, match=r"metrics\.csv cannot be written: No space") as caught,
        report_disk_errors(tmp_path),
        attribute_errors(Full(), "while logging"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.csv")
    assert "Free some space" in str(caught.value)


@pytest.mark.parametrize("name", ["EROFS", "EIO", "ESTALE"])
def test_error_of_a_failing_disk_names_the_file_and_the_remedy(name, tmp_path):
    number = getattr(errno, name)

    class Gone:
        pass

    with (
        pytest.raises(RunError, match=r"metrics\.csv cannot be used: .*\. Check the disk"),
        report_disk_errors(tmp_path),
        attribute_errors(Gone(), "while logging"),
    ):
        raise OSError(number, os.strerror(number), "metrics.csv")


def test_other_file_errors_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError), report_disk_errors(tmp_path):
        (tmp_path / "nowhere").read_text()


def test_disk_space_is_reserved_before_a_file_is_mapped(tmp_path, monkeypatch):
    """Writing to a mapped page without disk space kills the process without a message."""
    with (tmp_path / "whole").open("wb") as file:
        reserve_disk_space(file.fileno(), 1_000_000, tmp_path / "whole")
    assert (tmp_path / "whole").stat().st_blocks * 512 >= 1_000_000

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(extract, "MAX_BYTES_IN_MEMORY", 0)
    with pytest.raises(OSError, match="No space left on device"):
        extract.compute_features(torch.zeros(10, 100), {"": lambda block: block}, tmp_path)
