"""Layers and their order, origins of values, references and typed values."""

import pytest

from ssl_host.config.resolve import resolve_file, resolve_sections
from ssl_host.errors import ConfigError


def resolved(text, catalog, tmp_path, options=()):
    file = tmp_path / "run.ini"
    file.write_text(text, encoding="utf-8")
    return resolve_file(file, options, catalog)


def value(config, section, key):
    return config.entries[section, key].value


def layer(config, section, key):
    return config.entries[section, key].origin.layer


def test_value_in_several_layers_comes_from_the_highest(catalog, tmp_path):
    text = "[run]\nextends = simclr/cifar10\nepochs = 7\n\n[loss]\ntemperature = 0.3\n"
    config = resolved(text, catalog, tmp_path, ("loss.temperature=0.4",))
    assert (value(config, "loss", "temperature"), layer(config, "loss", "temperature")) == (
        0.4,
        "option",
    )
    assert layer(config, "run", "epochs") == "file"
    assert config.entries["run", "epochs"].origin.line == 3
    assert layer(config, "backbone", "stem") == "preset simclr/cifar10"
    assert layer(config, "head.projector", "last_norm") == "method simclr"
    assert layer(config, "optimizer", "momentum") == "preset simclr/cifar10"
    assert layer(config, "checkpoint", "keep") == "default"


def test_recipe_of_the_data_source_overrides_the_recipe_of_the_method(catalog, tmp_path):
    config = resolved("[method]\nname = simclr\n", catalog, tmp_path)
    assert config.components["augmentation"].name == "digits"
    assert layer(config, "augmentation", "name") == "data mnist5k"
    chosen = "[method]\nname = simclr\n\n[augmentation]\nname = byol\n"
    assert resolved(chosen, catalog, tmp_path).components["augmentation"].name == "byol"


def test_naming_another_component_drops_the_settings_of_the_previous_one(catalog, tmp_path):
    text = "[method]\nname = simclr\n\n[optimizer]\nname = sgd\nlr = 0.1\n"
    config = resolved(text, catalog, tmp_path)
    assert layer(config, "optimizer", "weight_decay") == "default"
    same = "[method]\nname = simclr\n\n[optimizer]\nname = lars\nmomentum = 0.8\n"
    assert layer(resolved(same, catalog, tmp_path), "optimizer", "weight_decay") == "method simclr"


def test_dropped_settings_of_a_preset_are_noted(catalog, tmp_path):
    text = "[run]\nextends = simclr/mnist5k\n\n[augmentation]\nname = simclr\n"
    (note,) = resolved(text, catalog, tmp_path).notes
    assert "run.ini:5: [augmentation] name = simclr" in note
    assert "crop_min, blur of preset simclr/mnist5k are ignored" in note
    same = text.replace("name = simclr", "name = digits")
    assert resolved(same, catalog, tmp_path).notes == ()


def test_views_of_a_method_that_the_data_source_replaces_are_noted(catalog, tmp_path):
    """DINO would train without its small views, and nothing would say so."""
    text = "[method]\nname = dino\n\n[backbone]\nname = small_conv\n\n[data]\nname = mnist5k\n"
    (note,) = resolved(text, catalog, tmp_path).notes
    assert "[augmentation] name = digits of data mnist5k replaces dino of method dino" in note
    assert "local_size" in note
    (other,) = resolved(text.replace("dino", "deepclusterv2"), catalog, tmp_path).notes
    assert "multicrop" in other
    assert "num_local" in other
    for chosen in ("name = digits", "name = dino", "name = byol"):
        text_with_views = f"{text}\n[augmentation]\n{chosen}\n"
        assert resolved(text_with_views, catalog, tmp_path).notes == ()
    preset = "[run]\nextends = dino/mnist5k\n"
    assert resolved(preset, catalog, tmp_path).notes == ()
    two_views = text.replace("name = dino", "name = byol")
    assert resolved(two_views, catalog, tmp_path).notes == ()


def test_name_of_a_run_in_an_option_keeps_the_settings_of_the_file(catalog, tmp_path):
    text = "[run]\nname = a\nepochs = 7\nseed = 3\n\n[method]\nname = simclr\n"
    config = resolved(text, catalog, tmp_path, ("run.name=b",))
    assert (config.run.name, config.run.epochs, config.run.seed) == ("b", 7, 3)


def test_lr_drops_the_base_lr_of_a_lower_layer(catalog, tmp_path):
    text = "[method]\nname = simclr\n\n[optimizer]\nlr = 0.5\n"
    config = resolved(text, catalog, tmp_path)
    assert config.components["optimizer"].settings.lr == 0.5
    assert config.components["optimizer"].settings.base_lr is None


@pytest.mark.parametrize(
    ("text", "section", "key", "expected"),
    [
        ("[run]\nepochs = 5@int\n", "run", "epochs", 5),
        ("[run]\nname = 5@str\n", "run", "name", "5"),
        ("[optimizer]\nlr = 1@float\n", "optimizer", "lr", 1.0),
        ("[probe]\nenabled = False@bool\n", "probe", "enabled", False),
        ("[probe]\nenabled = @bool\n", "probe", "enabled", False),
        ("[probe]\nenabled = no\n", "probe", "enabled", False),
        ("[trainer]\ndevices = [0, 1]@list\n", "trainer", "devices", [0, 1]),
        ("[trainer]\ndevices = [0, 1]\n", "trainer", "devices", [0, 1]),
        ("[trainer]\ndevices = 2\n", "trainer", "devices", 2),
        ("[trainer]\ndevices = auto\n", "trainer", "devices", "auto"),
        ("[run]\nepochs = 5   # a comment\n", "run", "epochs", 5),
        ("[run]\nepochs = 5   ; a comment\n", "run", "epochs", 5),
        ("[run]\nname = a#b\n", "run", "name", "a#b"),
        ("[run]\nseed = 4\nname = run-${run.seed}\n", "run", "name", "run-4"),
        ("[head.projector]\noutput_dim = ${head.projector.hidden_dim}\n", "head.projector",
         "output_dim", 2048),
        ("[trainer]\ngradient_clip = none\n", "trainer", "gradient_clip", None),
        ("[evaluator.few_label]\nlabels = [2, 3]\n", "evaluator.few_label", "labels", (2, 3)),
        ("[evaluator.linear]\nlearning_rates = (0.1, 1)\n", "evaluator.linear", "learning_rates",
         (0.1, 1.0)),
    ],
)  # fmt: skip
def test_text_is_converted_to_the_type_of_its_field(
    text, section, key, expected, catalog, tmp_path
):
    config = resolved(f"{text}\n[method]\nname = simclr\n", catalog, tmp_path)
    assert value(config, section, key) == expected


def test_value_from_the_environment_is_stored_as_a_reference(catalog, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_NAME", "secret")
    config = resolved("[run]\nname = ${env:MY_NAME}\n[method]\nname = simclr\n", catalog, tmp_path)
    assert config.run.name == "secret"
    assert "name = ${env:MY_NAME}" in config.to_ini()
    assert "secret" not in config.to_ini()
    # Loggers may write the values where others can read them.
    assert config.values()["run"]["name"] == "${env:MY_NAME}"


def test_relative_path_is_relative_to_the_folder_of_the_file(catalog, tmp_path):
    text = "[run]\ndir = out\n[method]\nname = simclr\n[data]\nname = imagefolder\nroot = ./x\n"
    config = resolved(text, catalog, tmp_path)
    assert config.run.dir == tmp_path / "out"
    assert config.components["data"].settings.root == tmp_path / "x"


def test_kind_with_instances_has_several_components(catalog, tmp_path):
    text = (
        "[method]\nname = simclr\n[evaluator.knn]\n[evaluator.near]\nname = knn\nk = 1\n"
        "[logger.tensorboard]\n"
    )
    config = resolved(text, catalog, tmp_path)
    assert [c.instance for c in config.of_kind("evaluator")] == ["knn", "near"]
    assert {c.name for c in config.of_kind("logger")} == {"csv", "tensorboard"}


def test_written_config_resolves_to_the_same_config(catalog, tmp_path):
    for preset in ("simclr/cifar10", "byol/mnist5k", "barlowtwins/imagenet-100ep"):
        config = resolve_sections({"run": {"extends": preset}}, catalog)
        again = resolved(config.to_ini(), catalog, tmp_path)
        assert again.to_ini() == config.to_ini()
        assert {s: c.settings for s, c in again.components.items()} == {
            s: c.settings for s, c in config.components.items()
        }


def test_unknown_key_in_python_sections_is_reported(catalog):
    with pytest.raises(ConfigError, match=r"python: \[run\] epoch: unknown key"):
        resolve_sections({"run": {"epoch": 3}, "method": {"name": "simclr"}}, catalog)
