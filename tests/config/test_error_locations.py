"""Errors that a setting causes after the configuration is read name its file and line."""

import pytest
from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose
from ssl_host.config.error_locations import locate_errors
from ssl_host.config.resolve import resolve_file
from ssl_host.errors import DataError, UserError
from ssl_host.pipeline.dry_run import estimate_cost
from ssl_host.pipeline.run import run_config
from tests.conftest import as_ini, tiny

FAULTY = """\
from pydantic import Field
from ssl_host import Loss, Settings, hookimpl

class Faulty(Loss):
    class Config(Settings):
        rows: int = Field(3, description="rows")

    def forward(self, z1, z2):
        return z1.reshape(self.config.rows, -1).nothing

@hookimpl
def register_losses(register):
    register("faulty", "ssl_plugin_faulty:Faulty")
"""

BUILDING = {
    "model": ({"backbone": {"name": "timm", "model": "resnet_18"}}, "model = resnet_18"),
    "stem": (
        {"backbone": {"name": "timm", "model": "convnext_atto", "stem": "cifar"}},
        "stem = cifar",
    ),
    "torchvision": ({"backbone": {"name": "torchvision", "model": "vit"}}, "model = vit"),
}
RUNNING = {
    "init_from": ({"run": {"init_from": "nothing.pth"}}, "init_from = nothing.pth"),
    "batch_size": ({"run": {"batch_size": 4096}}, "batch_size = 4096"),
    "root": ({"data": {"name": "imagefolder", "root": "nothing"}}, "root = nothing"),
    "file": ({"data": {"name": "csv", "file": "nothing.csv"}}, "file = nothing.csv"),
}


def write(file, changes):
    sections = tiny()
    for name, values in changes.items():
        is_replaced = "name" in values
        sections[name] = dict(values) if is_replaced else {**sections.get(name, {}), **values}
    text = as_ini(sections)
    file.write_text(text, encoding="utf-8")
    return text.splitlines()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("[data] /root/file/x.csv:3: has no column path", "name = csv"),
        ("[data] root.csv: path 'root' leads out; set [data] root", "root = images"),
        ("[data] file = x.csv: no such file; set root", "file = x.csv"),
        ("[data] 'file' and root cannot be used", "root = images"),
        ("[data] the run's root differs from the method's", "root = images"),
    ],
)
def test_words_of_paths_and_quoted_text_are_no_keys(message, expected, tmp_path, catalog):
    file = tmp_path / "c.ini"
    lines = write(file, {"data": {"name": "csv", "file": "x.csv", "root": "images"}})
    config = resolve_file(file, (), catalog)
    with pytest.raises(DataError) as caught, locate_errors(config):
        raise DataError(message)
    assert str(caught.value) == f"{file}:{lines.index(expected) + 1}: {message}"


@pytest.mark.parametrize("name", BUILDING)
def test_error_while_building_names_the_line_of_its_setting(name, tmp_path, catalog):
    changes, expected = BUILDING[name]
    file = tmp_path / "c.ini"
    lines = write(file, changes)
    with pytest.raises(UserError) as caught:
        compose(resolve_file(file, (), catalog))
    assert str(caught.value).startswith(f"{file}:{lines.index(expected) + 1}: ")


@pytest.mark.parametrize("start", ["run", "dry run"])
@pytest.mark.parametrize("name", RUNNING)
def test_error_of_a_run_names_the_line_of_its_setting(name, start, tmp_path, catalog):
    changes, expected = RUNNING[name]
    file = tmp_path / "c.ini"
    lines = write(file, changes)
    config = resolve_file(file, (f"run.dir={tmp_path}",), catalog)
    with pytest.raises(UserError) as caught:
        if start == "run":
            run_config(config, catalog, Console(quiet=True))
        else:
            estimate_cost(config, catalog)
    assert str(caught.value).startswith(f"{file}:{lines.index(expected) + 1}: ")


def test_error_about_two_settings_names_the_users_place_first_and_then_the_other(tmp_path, catalog):
    file = tmp_path / "c.ini"
    text = "[run]\nextends = dino/mnist5k\n[data]\nname = synthetic\nimage_size = 12\n"
    file.write_text(text, encoding="utf-8")
    config = resolve_file(file, (), catalog)
    preset = config.entries["augmentation", "local_size"].origin
    assert preset.layer == "preset dino/mnist5k"
    with pytest.raises(UserError) as caught:
        compose(config)
    message = str(caught.value)
    assert message.startswith(f"{file}:5: [augmentation] local_size = 12 ({preset}) is not smaller")
    assert "[data] image_size = 12;" in message


@pytest.mark.parametrize("method", ["swav", "deepclusterv2"])
def test_small_views_of_preset_for_photographs_follow_the_image_size(method, tmp_path, catalog):
    file = tmp_path / "c.ini"
    text = f"[run]\nextends = {method}/imagefolder\n[data]\nroot = x\nimage_size = 48\n"
    file.write_text(text, encoding="utf-8")
    assert compose(resolve_file(file, (), catalog)).views.view_sizes[-1] == 20


def test_error_of_an_option_names_the_option(tmp_path, catalog):
    file = tmp_path / "c.ini"
    write(file, {})
    config = resolve_file(file, ("backbone.name=timm", "backbone.model=resnet_18"), catalog)
    with pytest.raises(UserError, match=r"^-o backbone.model=resnet_18: \[backbone\] model"):
        compose(config)


def test_fault_of_a_component_in_a_step_names_the_line_of_its_section(install, tmp_path):
    install("ssl-plugin-faulty", FAULTY)
    catalog = Catalog()
    file = tmp_path / "c.ini"
    lines = write(file, {"loss": {"name": "faulty", "rows": 4}})
    config = resolve_file(file, (f"run.dir={tmp_path}",), catalog)
    with pytest.raises(UserError) as caught:
        run_config(config, catalog, Console(quiet=True))
    assert str(caught.value).startswith(f"{file}:")
    line = int(str(caught.value).removeprefix(f"{file}:").split(":")[0])
    assert lines[line - 1] in ("name = faulty", "rows = 4", "name = simclr")


@pytest.mark.parametrize(
    ("section", "key", "hint"),
    [
        ("method", "temperature", "temperature is a setting of [loss]"),
        ("method", "temprature", "did you mean [loss] temperature?"),
        ("run", "lr", "lr is a setting of [optimizer] and [probe]"),
        ("trainer", "batch_size", "batch_size is a setting of [run]"),
        ("optimizer", "learning_rate", "did you mean 'lr'?"),
        ("run", "max_epochs", "did you mean 'epochs'?"),
        ("method", "warmup_epoch", "did you mean [scheduler] warmup_epochs?"),
        ("backbone", "hidden_dim", "hidden_dim is a setting of [head.projector]"),
    ],
)
def test_key_in_the_wrong_section_names_the_right_one(section, key, hint, tmp_path, catalog):
    file = tmp_path / "c.ini"
    lines = write(file, {section: {**tiny().get(section, {}), key: 1}})
    with pytest.raises(UserError) as caught:
        resolve_file(file, (), catalog)
    assert f"{file}:{lines.index(f'{key} = 1') + 1}: [{section}] {key}: unknown key" in str(
        caught.value
    )
    assert hint in str(caught.value)


def test_misspelt_key_is_not_looked_up_in_evaluators_first(tmp_path, catalog):
    file = tmp_path / "c.ini"
    file.write_text("[method]\nname = simclr\ntemprature = 0.1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"c\.ini:3: .*did you mean \[loss\] temperature\?"):
        resolve_file(file, (), catalog)
    text = "[method]\nname = simclr\nlearning_rats = 0.1\n"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"did you mean \[evaluator\.linear\] learning_rates\?"):
        resolve_file(file, (), catalog)
