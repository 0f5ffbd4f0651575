"""Exports compute the same features in other programs: real commands, separate processes."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from ssl_plugin_export.card import read_run
from ssl_plugin_export.export import export_run

import ssl_host
from ssl_host import load_backbone
from ssl_host.testing.command_process import CommandProcess

TOLERANCE = 1e-5
WITHOUT_HOST = """
import sys
import huggingface_hub.constants
huggingface_hub.constants.HF_HUB_OFFLINE = True  # the variable is read when it is imported
for name in [name for name in sys.modules if name.startswith("ssl_")]:
    del sys.modules[name]
"""
# Executes the code of the card in the card's folder, then computes features with its model.
READER = """
import re, sys
from pathlib import Path
import numpy as np
code = re.search(r"```python\\n(.*?)```", Path("README.md").read_text("utf-8"), re.DOTALL)[1]
names = {}
exec(code, names)
assert len(names["features"]) == 2
images = np.load(sys.argv[1])
if "session" in names:
    (features,) = names["session"].run(None, {"images": images})
else:
    import torch
    with torch.no_grad():
        features = names["model"](torch.from_numpy(images)).numpy()
np.save(sys.argv[2], features)
assert not any(name.startswith("ssl_") for name in sys.modules), "the host was imported"
"""


# One of each format is read by an interpreter that has imported nothing before.
READ_FROM_SCRATCH = {("cifar", "timm"), ("vit", "huggingface"), ("mobilenet", "torchvision")}
READ_FROM_SCRATCH |= {("small", "onnx")}


def run_interpreter(code, folder, *arguments):
    """Run code in a new interpreter without network access."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def run_python(code, folder, *arguments):
    """Run code without the host in a separate process, forked from one that has imported torch."""
    files = Path(tempfile.mkdtemp(dir=folder.parent))
    (files / "reader.py").write_text(f"{WITHOUT_HOST}{code}", encoding="utf-8")
    process = CommandProcess(
        [str(argument) for argument in arguments],
        module="reader",
        stdout=files / "stdout",
        stderr=files / "stderr",
        cwd=folder,
        environment={"OMP_NUM_THREADS": "1", "PYTHONPATH": str(files)},
    )
    assert process.wait(120) == 0, (files / "stderr").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("resnet", "timm"),
        ("cifar", "timm"),
        ("resnet", "huggingface"),
        ("vit", "huggingface"),
        ("mobilenet", "torchvision"),
        ("torch-cifar", "torchvision"),
        ("small", "onnx"),
        ("cifar", "onnx"),
        ("vit", "onnx"),
        ("mobilenet", "onnx"),
    ],
)
def test_code_of_the_card_computes_the_same_features(run_of, command, tmp_path, name, to):
    run = run_of(name)
    done = command("export", run, "--to", to, "--output", tmp_path / to)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    written = [line.rpartition("/")[2] for line in done.stdout.splitlines()]
    assert written[-1] == "README.md"
    assert sorted(written) == sorted(file.name for file in (tmp_path / to).iterdir())
    backbone = load_backbone(run)
    torch.manual_seed(0)
    images = torch.randn(5, backbone.in_channels, backbone.image_size, backbone.image_size)
    np.save(tmp_path / "images.npy", images.numpy())
    read = run_interpreter if (name, to) in READ_FROM_SCRATCH else run_python
    read(READER, tmp_path / to, tmp_path / "images.npy", tmp_path / "features.npy")
    with torch.no_grad():
        expected = backbone(images)
    found = torch.from_numpy(np.load(tmp_path / "features.npy"))
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= TOLERANCE


def test_timm_loads_the_weights_by_checkpoint_path(run_of, catalog, tmp_path):
    export_run(run_of("resnet"), "timm", catalog, tmp_path / "out")
    code = (
        "import timm; timm.create_model('resnet18', in_chans=4, num_classes=0, "
        "checkpoint_path='backbone.safetensors')"
    )
    run_python(code, tmp_path / "out")


def test_hub_folder_is_loaded_with_a_new_classifier(run_of, catalog, tmp_path):
    export_run(run_of("vit"), "huggingface", catalog, tmp_path / "hub")
    code = """
import timm
from safetensors.torch import load_file
model = timm.create_model("local-dir:.", pretrained=True, num_classes=7)
weights = load_file("model.safetensors")
assert model.get_classifier().out_features == 7
assert all((model.state_dict()[name] == value).all() for name, value in weights.items())
view = timm.data.resolve_model_data_config(model)
assert view["input_size"] == (3, 16, 16) and view["crop_pct"] == 1.0, view
assert tuple(view["mean"]) == (0.5,) * 3 and tuple(view["std"]) == (0.25,) * 3, view
"""
    run_python(code, tmp_path / "hub")


def test_graph_contains_no_paths_of_this_machine(run_of, catalog, tmp_path):
    """torch's exporter writes a stack trace into every node."""
    export_run(run_of("cifar"), "onnx", catalog, tmp_path / "out")
    content = (tmp_path / "out" / "backbone.onnx").read_bytes()
    for text in (b"site-packages", b"stack_trace", str(Path(__file__).parents[3]).encode()):
        assert text not in content


def test_metadata_of_a_graph_describe_its_input(run_of, catalog, tmp_path):
    import onnxruntime

    export_run(run_of("small"), "onnx", catalog, tmp_path / "out")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "backbone.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["input"] == ("normalised float32 images B 3 16 16: (pixels / 255 - mean) / std")
    assert json.loads(metadata["mean"]) == [0.5] * 3
    assert json.loads(metadata["std"]) == [0.25] * 3
    for count in (1, 7):
        images = np.zeros((count, 3, 16, 16), np.float32)
        assert session.run(None, {"images": images})[0].shape == (count, 32)


def test_best_backbone_of_a_run_is_exported_with_the_card_of_the_run(tmp_path, config_of, catalog):
    config = config_of("small", tmp_path, epochs=2)
    config["backbone"] = {"name": "timm", "model": "test_resnet"}
    config["checkpoint"] = {"best": "rankme"}
    config["evaluate"] = {"every_epochs": 1, "evaluators": ["rankme"]}
    ssl_host.run(config, quiet=True)
    best = tmp_path / "small" / "best"
    *_, card = export_run(best, "timm", catalog)
    assert card.parent == best / "export" / "timm"
    found = load_backbone(card.parent).state_dict()
    expected = load_backbone(best).state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert "the folder best has the backbone of epoch" in card.read_text(encoding="utf-8")


def test_card_has_figures_baselines_and_versions_but_no_paths(run_of, catalog):
    run = run_of("resnet")
    card = export_run(run, "timm", catalog)[-1].read_text(encoding="utf-8")
    metrics = json.loads((run / "results.json").read_text())["metrics"]
    keys = ("knn.top1", *(f"{b}.knn.top1" for b in ("random_init", "pixels", "statistics")))
    row = " | ".join(f"{100 * metrics[key]:.2f}" for key in keys)
    assert f"| knn.top1, % | {row} |" in card
    for text in (
        "timm's resnet18, pretrained by simclr on synthetic",
        "| mean | 0.5, 0.5, 0.5, 0.5 |",
        "48 images of synthetic, 3 steps in 1 epoch; 24 images were held out.",
        "| backbone | timm | ssl-plugin-timm 0.1.0 |",
        f"| torch | {version('torch')} |",
        "temperature = 0.1",
    ):
        assert text in card, text
    assert str(run.parent) not in card
    assert re.search(r"\n{3,}", card) is None


def test_card_names_the_initial_weights_without_their_path(run_of, config_of, catalog, tmp_path):
    start = run_of("resnet")
    config = config_of("resnet", tmp_path, "further", epochs=0, init_from=str(start))
    ssl_host.run(config, quiet=True)
    card = export_run(tmp_path / "further", "timm", catalog)[-1].read_text(encoding="utf-8")
    assert "the backbone starts from resnet/backbone.safetensors" in card
    assert str(start.parent) not in card


@pytest.mark.parametrize(("name", "to"), [("resnet", "timm"), ("vit", "huggingface")])
def test_exported_weights_can_be_loaded_and_started_from(
    run_of, command, catalog, tmp_path, name, to
):
    run = run_of(name)
    export_run(run, to, catalog, tmp_path / "out")
    loaded = load_backbone(tmp_path / "out").state_dict()
    own = load_backbone(run).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in own.items())
    config = (run / "config.ini").read_text(encoding="utf-8")
    next_config = config.replace("[run]\n", "[run]\ninit_from = out\n")
    (tmp_path / "next.ini").write_text(next_config.replace(f"name = {name}\n", "name = next\n"))
    done = command("run", "next.ini", "--json", "-o", f"run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    notes = json.loads(done.stdout)["notes"]
    note = next(note for note in notes if note.startswith("the backbone starts from"))
    assert f"{tmp_path / 'out'}" in note
    assert note.endswith(f"safetensors: {len(own)} tensors")


@pytest.mark.parametrize(
    ("fit", "crop_mode", "input_text", "has_note"),
    [
        ("crop", "center", "the centred square, resized to 16 × 16", False),
        ("squash", "squash", "the whole image, resized to 16 × 16 regardless", False),
        (
            "pad",
            "border",
            "the whole image, padded with black bars",
            True,
        ),
    ],
)
def test_hub_folder_makes_images_square_as_the_run(
    run_of, catalog, tmp_path, fit, crop_mode, input_text, has_note
):
    run = copy_with(run_of("vit"), tmp_path / "run", fit=fit)
    *_, card = export_run(run, "huggingface", catalog, tmp_path / "hub")
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    assert config["pretrained_cfg"]["crop_mode"] == crop_mode
    text = card.read_text(encoding="utf-8")
    assert f"| image | {input_text}" in text
    assert ("those of the run were black" in text) == has_note
    assert "Divide the pixels by 255, subtract" in text.replace("\n", " ")
    assert load_backbone(tmp_path / "hub").fit == fit


def test_card_and_metadata_state_the_value_range(run_of, catalog, tmp_path):
    run = copy_with(run_of("vit"), tmp_path / "run", value_range=[0, 4095])
    *_, card = export_run(run, "huggingface", catalog, tmp_path / "hub")
    text = card.read_text(encoding="utf-8").replace("\n", " ")
    assert "so that 0 becomes 0 and 4095 becomes 1, and clip the others, subtract" in text
    assert "do not know the range of pixel values" in text
    properties = read_run(run).properties(load_backbone(run))
    assert "(pixels - 0) / (4095 - 0)" in properties["input"]


def copy_with(run, folder, **about):
    """Copy a run folder, change its backbone.json, and return the new folder."""
    shutil.copytree(run, folder)
    file = folder / "backbone.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | about))
    return folder
