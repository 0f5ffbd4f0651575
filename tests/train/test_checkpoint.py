"""Checkpoint files: damage anywhere is detected, and good files are kept."""

import hashlib
import io
import random
from pathlib import Path

import pytest
import torch

from ssl_host.errors import CheckpointError
from ssl_host.train.checkpoint import (
    list_checkpoints,
    load_latest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)

STATE = {"step": 3, "method": {"weight": torch.arange(3000.0), "bias": torch.zeros(7)}}


def test_read_checkpoint_flipped_bit_is_detected(tmp_path):
    """At 200 random offsets; the checkpoint before it is loaded."""
    write_checkpoint(tmp_path, 1, {**STATE, "step": 1}, keep=5)
    path = write_checkpoint(tmp_path, 3, STATE, keep=5)
    original = path.read_bytes()
    rng = random.Random(0)
    for offset in rng.sample(range(len(original)), 200):
        damaged = bytearray(original)
        damaged[offset] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(
            CheckpointError, match=r"step-000000003\.ckpt is damaged: .* does not match"
        ):
            read_checkpoint(path)
    state, warnings = load_latest_checkpoint(tmp_path)
    assert state["step"] == 1
    assert "trying the previous checkpoint" in warnings[0]


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_read_checkpoint_truncated_file_is_detected(length, tmp_path):
    path = write_checkpoint(tmp_path, 3, STATE, keep=5)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="is damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("text", ["", "nonsense", "é"])
def test_read_checkpoint_damaged_checksum_is_detected(text, tmp_path):
    path = write_checkpoint(tmp_path, 3, STATE, keep=5)
    path.with_suffix(".sha256").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_checkpoint(path)


class RunsCode:
    """An object that runs code when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("was_run"),))


@pytest.mark.parametrize("content", [{"format": 1, "step": RunsCode()}, [1, 2], 7])
def test_read_checkpoint_with_code_is_refused_and_not_run(content, tmp_path, monkeypatch):
    """The checksum is right."""
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path = tmp_path / "step-000000003.ckpt"
    path.write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    path.with_suffix(".sha256").write_text(f"{digest}  {path.name}\n", encoding="ascii")
    with pytest.raises(CheckpointError, match=r"is not a checkpoint: .* none of its code was run"):
        read_checkpoint(path)
    assert not Path("was_run").exists()


def test_write_checkpoint_removes_partial_files_of_killed_process(tmp_path):
    (tmp_path / "step-000000002.ckpt.partial").write_bytes(b"half")
    write_checkpoint(tmp_path, 3, {"step": 3}, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-000000003.ckpt",
        "step-000000003.sha256",
    ]


def test_write_checkpoint_newer_damaged_ones_do_not_displace_it(tmp_path):
    for step in (1, 10, 20):
        write_checkpoint(tmp_path, step, {"step": step}, keep=3)
    for step in (10, 20):
        (tmp_path / f"step-{step:09d}.ckpt").write_bytes(b"damaged")
    write_checkpoint(tmp_path, 3, {"step": 3}, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "step-000000001.ckpt",
        "step-000000003.ckpt",
    ]
    assert load_latest_checkpoint(tmp_path)[0]["step"] == 3
    # The damaged file is kept under another name, so that it can be examined.
    assert (tmp_path / "step-000000020.damaged").read_bytes() == b"damaged"


def test_load_latest_checkpoint_all_damaged_warns_of_restart(tmp_path):
    write_checkpoint(tmp_path, 1, {"step": 1}, keep=1)
    (tmp_path / "step-000000001.ckpt").write_bytes(b"damaged")
    state, warnings = load_latest_checkpoint(tmp_path)
    assert state is None
    assert "step-000000001.ckpt is damaged" in warnings[-1]
    assert warnings[-1].endswith("the run starts again")
