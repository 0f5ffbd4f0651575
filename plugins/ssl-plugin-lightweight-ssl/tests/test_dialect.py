"""Translation of Lightweight-SSL files: values, notes and errors."""

from pathlib import Path

import pytest

from ssl_host import ConfigError, resolve_file

COMPLETE = """\
seed = 1@int
epoch_start = 0@int
epochs = 90@int
compute_cfg = {{'devices':5, 'accelerator':'gpu', 'strategy':'ddp'}}@dict
ssl_method = {method}@str
pretrain_ckpt_path = /nowhere/ssl.ckpt@str
dataset = imagenet@str
data_dir = /nowhere/ImgNet/train@str
backbone = resnet18@str
batch_size = 820@int
# 1 view 1 crop in the evaluation phase
aug_crop_lst = {crops}@list
custom_ds_cfg = {{}}@dict
num_workers = 18@int
log_type = wandb@str
[wandb_args]
save_dir = /nowhere/logs@str
name = old@str
project = ssl@str
entity = @str
offline = @bool
[ckpt_args]
only_eval = {only_eval}
ckpt_path = /nowhere/clf.ckpt@str
dirpath = /nowhere/ckpts@str
filename = ssl-{{epoch}}-{{lin_acc1:.2f}}@str
every_n_epochs = 30@int
save_top_k = -1@int
monitor = lin_loss@str
[ssl_args]
lr = 0.1@float
proj_hidden_dim = 2048@int
{arguments}
"""
"""A file with every usual key; its data and checkpoints are not on this machine."""


def test_pretraining_file_is_translated_with_its_lines(catalog, write_config, tmp_path):
    config = resolve_file(write_config(), (), catalog)
    assert (config.run.seed, config.run.epochs) == (7, 100)
    assert config.run.batch_size == 4 * 64
    assert (config.trainer.devices, config.trainer.strategy) == (4, "ddp")
    assert config.loader.num_workers == 3
    assert config.components["method"].name == "simclr"
    assert config.components["backbone"].settings.model == "resnet18"
    assert config.components["data"].settings.root == tmp_path / "data"
    optimizer = config.components["optimizer"].settings
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.06, 0.8, 5e-4)
    assert config.components["head.projector"].settings.hidden_dim == 512
    assert (config.checkpoint.every_epochs, config.checkpoint.keep) == (5, 3)
    assert config.entries["run", "epochs"].origin.line == 3
    assert any("256 images per step on 4 devices" in note for note in config.notes)
    assert any("avg_pool_dim has no effect" in note for note in config.notes)


@pytest.mark.parametrize(
    ("method", "translated", "extra", "section", "key", "value"),
    [
        ("simclr", "simclr", "temperature = 0.3@float", "loss", "temperature", 0.3),
        ("nnclr", "nnclr", "temperature = 0.3@float", "loss", "temperature", 0.3),
        ("mocov2", "mocov2", "temperature = 0.3@float", "loss", "temperature", 0.3),
        ("mocov2", "mocov2", "queue_size = 100@int", "method", "queue_size", 100),
        ("barlowtwin", "barlowtwins", "lamb = 0.01@float", "loss", "lambda_", 0.01),
        ("barlowtwin", "barlowtwins", "scale_loss = 0.1@float", "loss", "scale", 0.1),
        # Either the loss is scaled or the rate of the biases is lowered, never both.
        ("barlowtwin", "barlowtwins", "scale_loss = 0.1@float", "method", "bias_lr_scale", 1.0),
        ("byol", "byol", "pred_hidden_dim = 99@int", "head.predictor", "hidden_dim", 99),
        ("simsiam", "simsiam", "proj_output_dim = 77@int", "head.projector", "output_dim", 77),
    ],
)
def test_argument_of_each_method_is_translated(
    method, translated, extra, section, key, value, catalog, write_config
):
    config = resolve_file(write_config(method, extra), (), catalog)
    assert config.components["method"].name == translated
    assert config.entries[section, key].value == value


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("custom_ds_cfg = @dict", ("run", "epochs"), 100),
        ("log_type = @str", ("run", "epochs"), 100),
        ("seed = @int", ("run", "seed"), 0),
        ("num_workers = @int", ("loader", "num_workers"), 0),
        ("aug_crop_lst = @list", ("augmentation", "name"), "simclr"),
        ("every_n_epochs = @int", ("checkpoint", "every_epochs"), 1),
        ("momentum = @float", ("optimizer", "momentum"), 0.0),
        ("compute_cfg = @dict", ("trainer", "devices"), 1),
    ],
)
def test_empty_value_with_a_type_is_the_empty_value_of_that_type(
    line, key, value, catalog, write_config
):
    file = write_config()
    name = line.partition(" =")[0]
    lines = [old for old in file.read_text().splitlines() if not old.startswith(f"{name} =")]
    at = lines.index("[ssl_args]" if name == "momentum" else "[ckpt_args]")
    at += name in ("momentum", "every_n_epochs")  # the others are keys before the first section
    file.write_text("\n".join([*lines[:at], line, *lines[at:]]))
    config = resolve_file(file, (), catalog)
    assert config.entries[key].value == value


def test_small_crops_become_multicrop(catalog, write_config):
    config = resolve_file(write_config(replace=("[2]@list", "[2, 4, 2]@list")), (), catalog)
    assert config.components["augmentation"].name == "multicrop"
    assert config.entries["augmentation", "num_local"].value == 6


def test_file_in_the_folder_linear_eval_trains_only_the_linear_classifier(catalog, write_config):
    config = resolve_file(write_config(phase="linear_eval"), (), catalog)
    assert config.run.epochs == 0
    assert str(config.run.init_from) == "/somewhere/simclr.ckpt"
    linear = config.components["evaluator.linear"].settings
    assert (linear.epochs, linear.batch_size, linear.learning_rates) == (30, 128, (0.02,))
    assert [component.name for component in config.of_kind("evaluator")] == ["linear"]


@pytest.mark.parametrize("crops", ["[1]@list", "@list", "[2]@list", "[1, 1]@list", "[2, 6]@list"])
def test_crops_of_a_linear_evaluation_are_accepted_and_have_no_effect(crops, catalog, write_config):
    text = f"ssl_method = simclr@str\naug_crop_lst = {crops}"
    file = write_config(phase="linear_eval", replace=("ssl_method = simclr@str", text))
    config = resolve_file(file, (), catalog)
    assert config.components["augmentation"].name == "simclr"
    is_noted = any("aug_crop_lst" in note for note in config.notes)
    assert is_noted == (crops not in ("[1]@list", "@list"))


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("simsiam", "proj_output_dim = 2048@int\npred_hidden_dim = 256@int"),
        ("simclr", "proj_output_dim = 128@int\ntemperature = 0.2@float"),
        ("barlowtwin", "lamb = 0.005@float\nscale_loss = 0.024@float"),
        ("nnclr", "queue_size = 65536@int\ntemperature = 0.1@float"),
        ("byol", "pred_hidden_dim = 512@int"),
        ("mocov2", "queue_size = 65536@int"),
    ],
)
@pytest.mark.parametrize("phase", ["pretrain", "linear_eval"])
@pytest.mark.parametrize("only_eval", ["@bool", "True@bool"])
def test_usual_file_is_valid_where_data_and_checkpoints_are_missing(
    phase, method, arguments, only_eval, catalog, tmp_path
):
    file = tmp_path / phase / "old.ini"
    file.parent.mkdir()
    crops = "[1]" if phase == "linear_eval" else "[2]"
    file.write_text(
        COMPLETE.format(method=method, arguments=arguments, crops=crops, only_eval=only_eval)
    )
    config = resolve_file(file, (), catalog)
    assert config.components["data"].settings.root == Path("/nowhere/ImgNet")
    assert config.run.epochs == (90 if phase == "pretrain" and only_eval == "@bool" else 0)
    assert config.components["logger.wandb"].settings.offline is False
    places = {"old.ini:6": "/nowhere/ssl.ckpt", "old.ini:8": "/nowhere/ImgNet"}
    if only_eval == "True@bool":
        places["old.ini:24"] = "/nowhere/clf.ckpt"
    for line, path in places.items():
        assert any(f"{line}: " in note and path in note for note in config.notes)


@pytest.mark.parametrize(
    ("old", "new"), [("{data}@str", "@str"), ("{data}@str", "None@str"), ("{data}@str", "")]
)
def test_empty_data_dir_is_the_default_folder(old, new, catalog, write_config, tmp_path):
    replace = (old.format(data=tmp_path / "data"), new)
    config = resolve_file(write_config(replace=replace), (), catalog)
    assert config.components["data"].settings.root == Path("/data/tch_ds")


def test_existing_folder_may_be_downloaded_to_and_a_missing_one_not(catalog, write_config):
    settings = resolve_file(write_config(), (), catalog).components["data"].settings
    assert settings.download is True
    missing = write_config(replace=("/data@str", "/nowhere@str"))
    assert resolve_file(missing, (), catalog).components["data"].settings.download is False


def test_only_eval_of_a_linear_evaluation_needs_a_checkpoint(catalog, write_config):
    extra = "[ckpt_args]\nonly_eval = True@bool"
    file = write_config(extra=extra, phase="linear_eval")
    with pytest.raises(ConfigError, match=r"old\.ini:13: only_eval: needs ckpt_path"):
        resolve_file(file, (), catalog)


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        (("0.06@float", "abc@float"), "old.ini:25: lr: 'abc' is not of type float"),
        (("seed = 7@int", "sede = 7@int"), "old.ini:2: sede: unknown key of Lightweight-SSL"),
        (("seed = 7@int", "sede = 7@int"), "did you mean 'seed'?"),
        (("ssl_method = simclr", "ssl_method = rnnclvr"), "pip install ssl-plugin-rnnclvr"),
        (("ssl_method = simclr@str", "ssl_method = 1@list"), "old.ini:8: ssl_method: '1' is of"),
        (("[2]@list", "3@int"), "old.ini:12: aug_crop_lst: 3 is not a list"),
        (("'devices':4", "'devises':4"), "compute_cfg: unknown entry 'devises'"),
        (("64@int", "__import__('os')@int"), "is not of type int"),
        (("[2]@list", "[3]@list"), "aug_crop_lst: [3] should be two full-size views"),
        (("[2]@list", "[1]@list"), "aug_crop_lst: [1] should be two full-size views"),
        (("[2]@list", "[-2]@list"), "aug_crop_lst: [-2] is not a list of numbers"),
        (("[2]@list", "[True]@list"), "aug_crop_lst: [True] is not a list of numbers"),
        (("csv@str", "wanbd@str"), "log_type: 'wanbd' should be wandb or csv; did you mean"),
        (("save_top_k = 3@int", "save_top_k = three@str"), "save_top_k: 'three' should be"),
        (("dataset = cifar10@str\n", ""), "old.ini:8: dataset is missing"),
        (("[ssl_args]", "[ssl_args"), "old.ini:24: '[ssl_args' has no closing ]"),
    ],
)
def test_error_in_a_file_is_reported_with_its_line(replace, message, catalog, write_config):
    with pytest.raises(ConfigError) as caught:
        resolve_file(write_config(replace=replace), (), catalog)
    assert message in str(caught.value)


def test_missing_method_is_reported_without_its_arguments(catalog, write_config):
    with pytest.raises(ConfigError) as caught:
        resolve_file(write_config("rnnclvr", "rnn_hidden_dim = 5@int"), (), catalog)
    assert "pip install ssl-plugin-rnnclvr" in str(caught.value)
    assert "rnn_hidden_dim" not in str(caught.value)


@pytest.mark.parametrize(
    ("replace", "key", "value", "note"),
    [
        (("seed = 7@int", "seed = -1@int"), ("run", "seed"), 0, "seed = -1 means no seed"),
        (("'devices'", "'device'"), ("trainer", "devices"), 4, "on 4 devices"),
        (
            ("only_eval = @bool", "only_eval = True@bool"),
            ("run", "epochs"),
            100,
            "only_eval has no effect in pretraining",
        ),
        (("top_k = 3", "top_k = -1"), ("checkpoint", "keep"), 2, "save_top_k = -1 has no effect"),
        (
            ("only_eval = @bool", "ckpt_path = x.ckpt@str"),
            ("run", "epochs"),
            100,
            "ckpt_path has no effect without only_eval",
        ),
    ],
)
def test_value_with_another_meaning_is_translated_and_noted(
    replace, key, value, note, catalog, write_config
):
    config = resolve_file(write_config(replace=replace), (), catalog)
    assert config.entries[key].value == value
    assert any(note in line for line in config.notes)


@pytest.mark.parametrize(
    ("method", "extra"),
    [
        ("byol", "temperature = 0.3@float"),
        ("simsiam", "queue_size = 100@int"),
        ("simclr", "pred_hidden_dim = 9@int"),
        ("simclr", "scale_loss = 0.1@float"),
    ],
)
def test_argument_of_another_method_is_accepted_and_noted(method, extra, catalog, write_config):
    config = resolve_file(write_config(method, extra), (), catalog)
    key = extra.split(" ")[0]
    assert any(f"{key} has no effect for {method}" in note for note in config.notes)


def test_pretraining_arguments_of_a_linear_evaluation_are_noted(catalog, write_config):
    extra = "temperature = 0.1@float\nwarmup_epochs = 3@int\nproj_hidden_dim = 8@int\n"
    config = resolve_file(write_config(extra=extra, phase="linear_eval"), (), catalog)
    for key in ("momentum", "temperature", "warmup_epochs", "proj_hidden_dim"):
        assert any(f"{key} has no effect in a linear evaluation" in note for note in config.notes)


def test_byte_order_mark_is_ignored(catalog, write_config):
    file = write_config()
    file.write_text("\ufeff" + file.read_text(), encoding="utf-8")
    assert resolve_file(file, (), catalog).run.seed == 7


def test_linear_evaluation_gets_another_run_name_than_its_pretraining(catalog, write_config):
    pretraining = resolve_file(write_config(), (), catalog)
    linear = resolve_file(write_config(phase="linear_eval"), (), catalog)
    assert (pretraining.run.name, linear.run.name) == ("old", "old-linear_eval")


def test_batch_size_of_a_linear_evaluation_is_per_device_too(catalog, write_config):
    replace = ("batch_size = 128", "compute_cfg = {'devices': 2}@dict\nbatch_size = 128")
    config = resolve_file(write_config(phase="linear_eval", replace=replace), (), catalog)
    assert config.components["evaluator.linear"].settings.batch_size == 256


def test_only_eval_tests_the_checkpoint_without_training(catalog, write_config):
    extra = "[ckpt_args]\nonly_eval = True@bool\nckpt_path = /somewhere/linear.ckpt@str"
    config = resolve_file(write_config(extra=extra, phase="linear_eval"), (), catalog)
    assert config.run.epochs == 0
    assert str(config.run.init_from) == "/somewhere/linear.ckpt"
    assert str(config.components["evaluator.linear"].settings.weights) == "/somewhere/linear.ckpt"


def test_wandb_arguments_configure_the_logger(catalog, write_config):
    section = (
        "[wandb_args]\nproject = ssl@str\nentity = lab@str\nname = first@str\n"
        "save_dir = logs@str\noffline = True@bool\n"
    )
    replace = ("log_type = csv", "log_type = wandb")
    config = resolve_file(write_config(extra=section, replace=replace), (), catalog)
    settings = config.components["logger.wandb"].settings
    assert (settings.project, settings.entity, settings.run_name) == ("ssl", "lab", "first")
    assert settings.offline is True
    assert any("save_dir has no effect" in note for note in config.notes)


def test_ini_file_of_ssl_host_is_not_translated(catalog, tmp_path):
    file = tmp_path / "run.ini"
    file.write_text("[method]\nname = simclr\n\n[run]\nname = ssl_method\n", encoding="utf-8")
    assert resolve_file(file, (), catalog).notes == ()
