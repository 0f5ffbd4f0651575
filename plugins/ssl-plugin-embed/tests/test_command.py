"""The command ``ssl-host embed``."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

NETWORK = (
    *("--backbone", "timm", "-o", "model=test_vit", "-o", "backbone.pretrained=false"),
    *("--image-size", "32"),
)


@pytest.fixture
def command(ssl_host_command):
    """Run ``ssl-host embed`` in this process."""
    return lambda *arguments: ssl_host_command("embed", *arguments)


def test_command_writes_features_of_a_run_and_lists_unreadable_images(command, photos, run):
    done = command(photos, "--run", run, "--to", "out.npy")
    assert done.returncode == 0, done.stderr
    assert "out.npy: features of 9 images, 8 float32 each, rows in out.npy.csv" in done.stdout
    assert "warning: 2 of 11 images could not be read" in done.stderr
    assert "photos/cat/3b.png: the file is empty" in done.stderr
    again = command(photos, "--run", run, "--to", "out.npy", "--json")
    about = json.loads(again.stdout)
    assert about["shape"] == [9, 8]
    assert [each["path"] for each in about["unreadable"]] == [
        "photos/cat/3b.png",
        "photos/dog/7b.jpg",
    ]
    assert about["images_per_s"] is None


def test_command_builds_a_backbone_by_name(command, photos):
    options = ("--tokens", "--dtype", "float16", "-o", "data.labelled=false")
    done = command(photos, *NETWORK, *options, "--to", "out.npy")
    assert done.returncode == 0, done.stderr
    assert "patch tokens of 9 images, 4 x 64 float16" in done.stdout
    assert "has no mean and std of its own; ImageNet's are used" in done.stderr
    assert np.load("out.npy").shape == (9, 4, 64)
    assert ",train,-1,\n" in Path("out.npy.csv").read_text("utf-8")
    again = command(photos, *NETWORK, *options, "--to", "out.npy")
    assert "was complete already" in again.stdout


def test_pretrained_weights_are_the_default(command, photos, monkeypatch):
    def create(name, pretrained, **_):
        raise OSError(f"no connection for {name}, pretrained={pretrained}")

    monkeypatch.setattr("timm.create_model", create)
    done = command(photos, "--backbone", "timm", "-o", "model=resnet18", "--to", "out.npy")
    assert done.returncode == 2
    assert "no connection for resnet18, pretrained=True" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos", "--to", "out.npy"], "give either --run RUN or --backbone NAME"),
        (["photos", "--to", "out.npy", "--run", "a", *NETWORK], "give either --run"),
        (["photos", "--to", "out.npy", "--run", "a", "--image-size", "32"], "--image-size is for"),
        (["photos", "--to", "out.npy", "--run", "a", "-o", "model=b"], "begin with data."),
        (
            ["photos", "--to", "out.npy", "--run", "nowhere"],
            "nowhere: no such file",
        ),
        (["photos", "--to", "out.txt", *NETWORK], "use a name that ends in"),
        (["nowhere", "--to", "out.npy", *NETWORK], "nowhere: no such file or folder"),
        (["--to", "out.npy", *NETWORK], "no images: name a folder"),
        (["photos", "--to", "out.npy", *NETWORK, "-o", "colour=red"], "colour: unknown key"),
        (["photos", "--to", "out.npy", *NETWORK, "-o", "data.colour=red"], "colour: unknown key"),
        (["photos", "--to", "out.npy", *NETWORK, "--data", "flowers"], "unknown data 'flowers'"),
        (["photos", "--to", "out.npy", "--backbone", "convnet"], "unknown backbone 'convnet'"),
        (["photos", "--to", "out.npy", *NETWORK, "--dtype", "int8"], "'int8' is not one of"),
        (["photos"], "Missing option '--to'"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_mistake_is_reported_with_status_2(command, arguments, message):
    done = command(*arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in Path().iterdir()) == ["photos"]


def test_no_readable_image_is_reported_as_json(command):
    Path("a.jpg").write_bytes(b"")
    done = command("a.jpg", *NETWORK, "--to", "out.npy", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"].startswith("none of 1 images could be read: a.jpg")


def test_command_without_the_plugin_says_what_to_install(ssl_host_command):
    done = ssl_host_command("-p", "no:embed", "embed", "photos")
    assert done.returncode == 2
    assert "ssl-plugin-embed" in done.stderr


def test_ctrl_c_saves_and_ends_with_status_130(command, photos, monkeypatch):
    from ssl_plugin_embed import partial

    append = partial.PartialFeatures.append

    def interrupt(self, *arguments):
        append(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(partial.PartialFeatures, "append", interrupt)
        done = command(photos, *NETWORK, "--to", "out.npy", "--batch-size", "4")
    assert done.returncode == 130
    assert "run the same command again to resume" in done.stderr
    state = json.loads(Path("out.npy.partial/state.json").read_text("utf-8"))
    assert state["done"] == 4
    assert command(photos, *NETWORK, "--to", "out.npy", "--batch-size", "4").returncode == 0
    assert not Path("out.npy.partial").exists()


def test_importing_the_command_imports_no_torch():
    code = "import ssl_plugin_embed.command, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
