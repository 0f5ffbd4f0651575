"""A damaged checkpoint is recognised, wherever the damage is."""

import hashlib
import io
import random
from pathlib import Path

import pytest
import torch

from ssl_host.errors import CheckpointError
from ssl_host.train.checkpoint import checkpoints, read_checkpoint, read_newest, write_checkpoint

STATE = {"step": 3, "method": {"weight": torch.arange(3000.0), "bias": torch.zeros(7)}}


def test_a_flipped_bit_anywhere_is_recognised(tmp_path):
    """At 200 random offsets, and each time the checkpoint before it is taken.

    Seen to fail with the checksum not compared: most damage to the weights went unnoticed.
    """
    write_checkpoint(tmp_path, 1, {**STATE, "step": 1}, keep=5)
    path = write_checkpoint(tmp_path, 3, STATE, keep=5)
    whole = path.read_bytes()
    chance = random.Random(0)
    for offset in chance.sample(range(len(whole)), 200):
        torn = bytearray(whole)
        torn[offset] ^= 1 << chance.randrange(8)
        path.write_bytes(torn)
        with pytest.raises(CheckpointError, match="is damaged: its checksum does not agree"):
            read_checkpoint(path)
    state, warnings = read_newest(tmp_path)
    assert state["step"] == 1
    assert "the one before it is taken" in warnings[0]


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_torn_file_is_recognised(length, tmp_path):
    path = write_checkpoint(tmp_path, 3, STATE, keep=5)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="is damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("text", ["", "nonsense", "é"])
def test_a_damaged_checksum_is_recognised(text, tmp_path):
    path = write_checkpoint(tmp_path, 3, STATE, keep=5)
    path.with_suffix(".sha256").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"no readable checksum|is damaged"):
        read_checkpoint(path)


class RunsCode:
    """What a stranger may put into a pickle."""

    def __reduce__(self):
        return (Path.touch, (Path("was_run"),))


@pytest.mark.parametrize("content", [{"format": 1, "step": RunsCode()}, [1, 2], 7])
def test_what_a_stranger_put_there_is_no_checkpoint(content, tmp_path, monkeypatch):
    """With its right checksum. Seen to fail with torch's own words, in a traceback."""
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path = tmp_path / "step-000000003.ckpt"
    path.write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    path.with_suffix(".sha256").write_text(f"{digest}  {path.name}\n", encoding="ascii")
    with pytest.raises(CheckpointError, match="is no checkpoint of tensors and numbers"):
        read_checkpoint(path)
    assert not Path("was_run").exists()


def test_what_a_killed_process_left_half_written_goes_with_the_next(tmp_path):
    """Seen to fail with it left to lie."""
    (tmp_path / "step-000000002.ckpt.partial").write_bytes(b"half")
    write_checkpoint(tmp_path, 3, {"step": 3}, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-000000003.ckpt",
        "step-000000003.sha256",
    ]


def test_what_was_just_written_stays_whatever_newer_ones_are_damaged(tmp_path):
    """Seen to fail with the newest names kept: a damaged file displaced the sound one."""
    for step in (1, 10, 20):
        write_checkpoint(tmp_path, step, {"step": step}, keep=3)
    for step in (10, 20):
        (tmp_path / f"step-{step:09d}.ckpt").write_bytes(b"damaged")
    write_checkpoint(tmp_path, 3, {"step": 3}, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == [
        "step-000000001.ckpt",
        "step-000000003.ckpt",
    ]
    assert read_newest(tmp_path)[0]["step"] == 3
    # What could not be read may be of use to somebody: it is kept under another name.
    assert (tmp_path / "step-000000020.damaged").read_bytes() == b"damaged"


def test_it_is_said_when_no_sound_one_is_left(tmp_path):
    """Seen to fail with the one before announced, which there was not."""
    write_checkpoint(tmp_path, 1, {"step": 1}, keep=1)
    (tmp_path / "step-000000001.ckpt").write_bytes(b"damaged")
    found, told = read_newest(tmp_path)
    assert found is None
    assert told[-1].endswith("its checksum does not agree; the run begins anew")
