"""The commands: a folder becomes a configuration that runs, and mistakes get messages."""

import json

import pytest
from ssl_plugin_init import init as init_module
from ssl_plugin_init.candidates import Timed
from ssl_plugin_init.init import propose

from ssl_host import UserError, parse_ini_layer, resolve_layers, run
from ssl_host.testing.commands import run_command

NEEDS_A_TEACHER = {"distill"}


@pytest.fixture
def folder(write_image, tmp_path):
    """Return a folder with 40 images in two classes."""
    for i in range(40):
        write_image(f"{'ab'[i % 2]}/{i}.png", i, width=100, height=90)
    return tmp_path / "images"


@pytest.fixture
def fast_machine(monkeypatch):
    """Return a function that sets the time of a step, so that none is measured."""

    def set_time(seconds):
        monkeypatch.setattr(
            init_module, "_measure", lambda candidate, *_: Timed(candidate, seconds, 0.0)
        )

    return set_time


@pytest.mark.usefixtures("folder")
def test_init_writes_a_configuration_that_trains(tmp_path):
    done = run_command("init", "images", "-m", "simclr", "--time", "20s", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "config.ini").read_text("utf-8")
    assert "root = images" in text
    assert "[evaluator.linear]" in text
    assert run_command("config", "check", "config.ini", cwd=tmp_path).returncode == 0
    results = run(tmp_path / "config.ini", ["run.epochs=1", f"run.dir={tmp_path}"], quiet=True)
    assert results["images"]["train"] == 32
    assert "linear.top1" in results["metrics"]


def test_every_method_gets_a_valid_configuration(folder, describe, catalog, fast_machine):
    fast_machine(0.01)
    data = describe()
    for method in set(catalog.names("method")) - NEEDS_A_TEACHER:
        proposal = propose(data, method=method, budget_s=600)
        config = resolve_layers([parse_ini_layer(proposal.text, folder / "c.ini")], catalog, "x")
        assert config.components["method"].name == method
        warmup = config.entries["scheduler", "warmup_epochs"].value
        assert warmup <= 0.1 * config.run.epochs + 0.05
        assert config.run.batch_size <= data.num_images / 8


@pytest.mark.usefixtures("folder")
def test_init_times_a_transformer_with_small_views(describe):
    proposal = propose(describe(), method="dinov2", budget_s=5)
    assert proposal.sections["backbone"]["patch_size"] == 4
    assert proposal.training_minutes > 0


@pytest.mark.usefixtures("folder")
def test_more_time_gives_a_larger_network(describe, fast_machine):
    fast_machine(0.1)
    data = describe()
    short, long = (propose(data, method="byol", budget_s=budget) for budget in (60, 1e6))
    assert short.sections["backbone"] == {"name": "small_conv"}
    assert long.sections["backbone"]["name"] == "timm"
    assert long.sections["run"]["epochs"] > short.sections["run"]["epochs"]
    assert long.sections["method"]["ema_decay"] > short.sections["method"]["ema_decay"]
    assert "With --time 4m" in short.text
    assert "needs about 1,500: use --time 3m" in short.warning
    assert long.warning is None


def test_images_without_labels_get_measures_without_labels(write_image, describe, fast_machine):
    fast_machine(0.01)
    for i in range(20):
        write_image(f"{i}.png", i, gray=True)
    sections = propose(describe()).sections
    assert {name for name in sections if name.startswith("evaluator")} == {
        "evaluator.rankme",
        "evaluator.alignment_uniformity",
    }
    assert sections["data"]["num_channels"] == 1
    with pytest.raises(UserError, match="supcon trains on labels"):
        propose(describe(), method="supcon")


@pytest.mark.usefixtures("folder")
def test_init_keeps_an_existing_file(tmp_path):
    (tmp_path / "config.ini").write_text("mine", encoding="utf-8")
    done = run_command("init", "images", cwd=tmp_path)
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert (tmp_path / "config.ini").read_text("utf-8") == "mine"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("init", "nowhere"), "no such file or folder"),
        (("init", "images", "--time", "soon"), "such as 45s, 15m"),
        (("init", "images", "-m", "simlcr"), "did you mean 'simclr'"),
        (("init", "images", "-c", "missing/c.ini"), "there is no folder missing"),
        (("init", "images", "-c", "images", "--force"), "is a directory"),
        (("data", "describe", "images", "--page", "missing/p.html"), "there is no folder missing"),
        (("data", "describe", "images", "-o", "data.rot=1"), "rot"),
    ],
)
def test_mistakes_are_explained_without_a_traceback(tmp_path, arguments, message):
    done = run_command(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("folder")
def test_describe_prints_text_json_and_a_page(tmp_path):
    done = run_command("data", "describe", "images", "--page", "page.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "32 for training, 8 held out" in done.stdout
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("data:image/jpeg") == 40
    assert "http" not in page
    found = json.loads(run_command("data", "describe", "images", "--json", cwd=tmp_path).stdout)
    assert found["classes"] == {"a": 20, "b": 20}
    assert found["widths"]["median"] == 100
