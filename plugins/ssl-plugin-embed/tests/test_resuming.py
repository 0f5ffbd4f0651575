"""A process may be killed at any moment: the next one continues, and the file is the same."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from ssl_plugin_embed import embed, embedding, partial

from ssl_host import Preempted, RunError, UserError


class Killed(BaseException):
    """Raised in place of a signal that kills the process."""


@pytest.fixture(autouse=True)
def save_every_batch(monkeypatch):
    monkeypatch.setattr(partial, "SAVE_SECONDS", 0)


def outputs(stem):
    """Return the content of all files of an output."""
    return {p.name.partition(".")[2]: p.read_bytes() for p in Path().glob(f"{stem}.*")}


def stop_after(count, error=Killed):
    """Return a progress function that raises an error after a number of batches."""
    calls = []

    def progress(done, _):
        calls.append(done)
        if len(calls) == count:
            raise error

    return progress


@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".safetensors"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_interrupted_output_equals_an_undisturbed_one(photos, network, suffix, count):
    embed(photos, network, f"whole{suffix}", batch_size=4)
    with pytest.raises(Killed):
        embed(photos, network, f"out{suffix}", batch_size=4, progress=stop_after(count))
    features = Path(f"out{suffix}.partial/features.bin")
    with features.open("ab") as file:
        file.write(b"half a row")  # written after the state was saved
    done = []
    embed(photos, network, f"out{suffix}", batch_size=4, progress=lambda n, _: done.append(n))
    assert done == [4, 8, 11][count:]
    assert outputs("out") == outputs("whole")


def test_interruption_between_two_parts_repeats_no_image(network, save_images):
    save_images(Path("a/train/x"), range(3))
    save_images(Path("a/test/x"), range(3, 5))
    save_images(Path("b"), range(5, 8))
    for stem, stops in (("whole", []), ("out", [1, 1, 1])):
        for stop in stops:
            with pytest.raises(Killed):
                embed(["a", "b"], network, f"{stem}.npy", batch_size=2, progress=stop_after(stop))
        embed(["a", "b"], network, f"{stem}.npy", batch_size=2)
    assert outputs("out") == outputs("whole")
    assert np.load("out.npy").shape == (8, 8)


@pytest.mark.parametrize("name", ["write_features", "atomic_write_text", "remove_partial"])
@pytest.mark.parametrize("is_done", [False, True])
def test_kill_while_the_file_is_written_is_made_good(photos, network, monkeypatch, name, is_done):
    embed(photos, network, "whole.npy")
    original = getattr(embedding, name)

    def kill(*arguments):
        if is_done:
            original(*arguments)
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(embedding, name, kill)
        embed(photos, network, "out.npy")
    embed(photos, network, "out.npy")
    assert outputs("out") == outputs("whole")


def test_killed_process_leaves_what_the_next_one_needs(photos, network, tmp_path):
    code = """
import sys, time, torch
sys.path.insert(0, {tests!r})
import ssl_host
from ssl_plugin_embed import embed, partial
partial.SAVE_SECONDS = 0
torch.set_num_threads(1)
torch.manual_seed(0)
network = ssl_host.build("backbone", "small_conv", in_channels=3, image_size=16, width=4,
                         num_stages=2)
network.mean, network.std = (0.4,) * 3, (0.3,) * 3
embed("photos", network, "out.npy", batch_size=4, progress=lambda *_: time.sleep(1000))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code.format(tests=str(Path(__file__).parent))]
    )
    state = tmp_path / "out.npy.partial" / "state.json"
    for _ in range(2000):
        if state.exists():
            break
        time.sleep(0.1)
    with pytest.raises(UserError, match=r"another process is writing out\.npy"):
        embed(photos, network, "out.npy", batch_size=4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = []
    embed(photos, network, "out.npy", batch_size=4, progress=lambda n, _: done.append(n))
    assert done == [8, 11]
    embed(photos, network, "whole.npy", batch_size=4)
    assert outputs("out") == outputs("whole")


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs signals of POSIX")
def test_stop_signal_saves_and_raises_preempted(photos, network, monkeypatch):
    monkeypatch.setattr(partial, "SAVE_SECONDS", 1000)  # the signal saves, not the time
    with pytest.raises(Preempted, match="run the same command again"):
        embed(
            photos,
            network,
            "out.npy",
            batch_size=4,
            progress=lambda *_: os.kill(os.getpid(), signal.SIGTERM),
        )
    done = []
    embed(photos, network, "out.npy", batch_size=4, progress=lambda n, _: done.append(n))
    assert done == [8, 11]


def change_network(network, _):
    next(network.parameters()).data[0] += 1


def add_image(_, save_images):
    save_images(Path("photos/dog"), [99])


def change_image(_, save_images):
    save_images(Path("other"), [50])
    Path("other/50.png").replace("photos/cat/1.png")


CHANGES = [
    (change_network, {}, "the network"),
    (add_image, {}, "the list of images"),
    (change_image, {}, "the list of images"),
    (lambda *_: None, {"dtype": "float16"}, "the settings"),
    (lambda *_: None, {"batch_size": 3}, "the settings"),
]


@pytest.mark.parametrize(("change", "settings", "what"), CHANGES)
@pytest.mark.parametrize("is_finished", [False, True])
def test_change_is_refused_until_fresh(
    photos, network, change, settings, what, is_finished, save_images
):
    if is_finished:
        embed(photos, network, "out.npy", batch_size=4)
    else:
        with pytest.raises(Killed):
            embed(photos, network, "out.npy", batch_size=4, progress=stop_after(1))
    change(network, save_images)
    settings = {"batch_size": 4, **settings}
    with pytest.raises(UserError, match=rf"out\.npy.* {what} changed since.*--fresh"):
        embed(photos, network, "out.npy", **settings)
    embed(photos, network, "out.npy", fresh=True, **settings)
    embed(photos, network, "whole.npy", **settings)
    assert outputs("out") == outputs("whole")


def test_finished_output_is_not_computed_again(photos, network):
    first = embed(photos, network, "out.npy")
    again = embed(photos, network, "out.npy", progress=stop_after(1))
    assert first.images_per_s > 0
    assert again.images_per_s is None
    assert again.as_dict() == {**first.as_dict(), "images_per_s": None}


def test_file_of_something_else_is_not_replaced(photos, network):
    Path("out.npy").write_text("mine", "utf-8")
    with pytest.raises(UserError, match=r"out\.npy exists, but out\.npy\.json.*--fresh"):
        embed(photos, network, "out.npy")
    assert outputs("out") == {"npy": b"mine"}
    with pytest.raises(Killed):  # it is kept until the new one is complete
        embed(photos, network, "out.npy", fresh=True, progress=stop_after(1))
    assert Path("out.npy").read_text("utf-8") == "mine"
    embed(photos, network, "out.npy")
    assert np.load("out.npy").shape == (9, 8)


def test_output_that_is_an_input_is_refused(in_folder, network):
    Path("images.parquet").write_bytes(b"images")
    with pytest.raises(UserError, match=r"images\.parquet: is one of the inputs"):
        embed("images.parquet", network, in_folder / "images.parquet", fresh=True)


def test_table_in_the_folder_of_the_images_is_refused(photos, network):
    """The folder would then be a dataset of Parquet files, for the next call as well."""
    with pytest.raises(UserError, match=r"photos/new\.parquet: is in a folder of the inputs"):
        embed(photos, network, f"{photos}/new.parquet")
    assert not list(Path(photos).glob("new*"))
    embed(photos, network, f"{photos}/new.npy")
    assert embed(photos, network, f"{photos}/new.npy").images_per_s is None


@pytest.mark.parametrize("content", ["", "{}", '{"done": 1}'])
def test_damaged_state_is_reported(photos, network, content):
    with pytest.raises(Killed):
        embed(photos, network, "out.npy", batch_size=4, progress=stop_after(1))
    Path("out.npy.partial/state.json").write_text(content, "utf-8")
    with pytest.raises(RunError, match=r"state\.json is damaged.*--fresh"):
        embed(photos, network, "out.npy", batch_size=4)
    embed(photos, network, "out.npy", batch_size=4, fresh=True)


def test_lost_features_are_reported(photos, network):
    with pytest.raises(Killed):
        embed(photos, network, "out.npy", batch_size=4, progress=stop_after(1))
    Path("out.npy.partial/features.bin").write_bytes(b"")
    with pytest.raises(RunError, match=r"features\.bin is shorter than it was.*--fresh"):
        embed(photos, network, "out.npy", batch_size=4)


def test_lock_of_a_finished_process_does_not_matter(photos, network):
    Path("out.npy.partial").mkdir()
    with FileLock("out.npy.partial/lock"):
        pass
    assert embed(photos, network, "out.npy").shape == (9, 8)
    assert not Path("out.npy.partial").exists()
