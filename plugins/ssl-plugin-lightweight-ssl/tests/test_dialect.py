"""The older project's files are accepted as they are, and converted."""

import pytest
from ssl_host.config.convert import convert
from ssl_host.config.older import is_older

from ssl_host.config.resolve import resolve_file
from ssl_host.errors import ConfigError

PRETRAIN = """\
# a run of the older project
seed = 7@int
epochs = 100@int            ## how long
compute_cfg = {{'devices':4, 'accelerator':'cpu', 'strategy':'ddp', 'auto_select_gpus':True}}@dict
backbone = resnet18@str
avg_pool_dim = 512@int
## the method
ssl_method = {method}@str
dataset = cifar10@str
data_dir = {data}@str
batch_size = 64@int
aug_crop_lst = [2]@list
num_workers = 3@int
log_type = csv@str

[ckpt_args]
dirpath = checkpoints@str
filename = simclr-{{epoch}}-{{lin_acc1:.2f}}@str
every_n_epochs = 5@int
save_top_k = 3@int
monitor = lin_acc1@str
only_eval = @bool

[ssl_args]
lr = 0.06@float
momentum = 0.8@float
weight_decay = 5e-4@float
warmup_epochs = 2@int
proj_hidden_dim = 512@int    # narrower
{extra}
"""


def write(tmp_path, method="simclr", extra="", phase="pretrain", text=PRETRAIN):
    (tmp_path / phase).mkdir(exist_ok=True)
    (tmp_path / "data").mkdir(exist_ok=True)
    file = tmp_path / phase / "old.ini"
    filled = text.format(method=method, extra=extra, data=tmp_path / "data")
    file.write_text(filled, encoding="utf-8")
    return file


def test_a_pretraining_file_means_what_it_meant(catalog, tmp_path):
    config = resolve_file(write(tmp_path), (), catalog)
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
    assert any("for each of 4 devices: 256 images a step" in note for note in config.notes)
    assert any("avg_pool_dim has no effect" in note for note in config.notes)


@pytest.mark.parametrize(
    ("older", "today", "extra", "section", "key", "value"),
    [
        ("simclr", "simclr", "temperature = 0.3@float", "loss", "temperature", 0.3),
        ("nnclr", "nnclr", "temperature = 0.3@float", "method", "temperature", 0.3),
        ("mocov2", "mocov2", "queue_size = 100@int", "method", "queue_size", 100),
        ("barlowtwin", "barlowtwins", "lamb = 0.01@float", "loss", "lambda_", 0.01),
        ("barlowtwin", "barlowtwins", "scale_loss = 0.1@float", "loss", "scale", 0.1),
        # The scale stood for what a rate of their own does to the biases: never both.
        ("barlowtwin", "barlowtwins", "scale_loss = 0.1@float", "method", "bias_lr_scale", 1.0),
        ("byol", "byol", "pred_hidden_dim = 99@int", "head.predictor", "hidden_dim", 99),
        ("simsiam", "simsiam", "proj_output_dim = 77@int", "head.projector", "output_dim", 77),
    ],
)
def test_all_six_methods_and_their_arguments(
    older, today, extra, section, key, value, catalog, tmp_path
):
    config = resolve_file(write(tmp_path, older, extra), (), catalog)
    assert config.components["method"].name == today
    assert config.entries[section, key].value == value


LINEAR = """\
epochs = 30@int
ssl_method = simclr@str
backbone = resnet18@str
dataset = cifar10@str
data_dir = {data}@str
batch_size = 128@int
pretrain_ckpt_path = /somewhere/simclr.ckpt@str
[ssl_args]
lr = 0.02@float
weight_decay = 0.0@float
momentum = 0.9@float
{extra}
"""


def test_the_folder_says_the_phase(catalog, tmp_path):
    config = resolve_file(write(tmp_path, phase="linear_eval", text=LINEAR), (), catalog)
    assert config.run.epochs == 0
    assert str(config.run.init_from) == "/somewhere/simclr.ckpt"
    linear = config.components["evaluator.linear"].settings
    assert (linear.epochs, linear.batch_size, linear.learning_rates) == (30, 128, (0.02,))
    assert [part.name for part in config.of_kind("evaluator")] == ["linear"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("0.06@float", "abc@float"), "old.ini:25: lr: 'abc' is no float, as @float says"),
        (("seed = 7@int", "sede = 7@int"), "old.ini:2: sede: unknown key of the older dialect"),
        (
            ("ssl_method = simclr", "ssl_method = rnnclvr"),
            "if a plugin provides it: pip install ssl-plugin-rnnclvr",
        ),
        (("[2]@list", "3@int"), "aug_crop_lst: 3 is no list of numbers of crops"),
        (("/data@str", "/nowhere@str"), "nowhere; put the data there, or name another"),
        (
            ("'devices':4", "'devises':4"),
            "compute_cfg: unknown entry 'devises'",
        ),
        (("64@int", "__import__('os')@int"), "is no int, as @int says"),
        (("[2]@list", "[2, 6]@list"), "simclr takes 2"),
        (("[2]@list", "[3]@list"), "aug_crop_lst: [3] is not two full-size views"),
        (("[2]@list", "[1]@list"), "aug_crop_lst: [1] is not two full-size views"),
        (("[2]@list", "[-2]@list"), "aug_crop_lst: [-2] is no list of numbers of crops"),
        (("csv@str", "wanbd@str"), "log_type: 'wanbd' is neither wandb nor csv; did you mean"),
        (("save_top_k = 3@int", "save_top_k = three@str"), "save_top_k: 'three' is no number"),
        (("dataset = cifar10@str\n", ""), "old.ini:8: dataset is missing; name one"),
        (("only_eval = @bool", "only_eval = True@bool"), "only_eval: needs ckpt_path"),
        (("[ssl_args]", "[ssl_args"), "old.ini:24: '[ssl_args' lacks its closing ]"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(change, message, catalog, tmp_path):
    from ssl_host.compose import compose
    from ssl_host.errors import UserError

    file = write(tmp_path)
    file.write_text(file.read_text().replace(*change))
    with pytest.raises(UserError) as caught:
        compose(resolve_file(file, (), catalog))
    assert message in str(caught.value)


def test_a_missing_methods_plugin_is_what_is_told_not_its_settings(catalog, tmp_path):
    file = write(tmp_path, "rnnclvr", "rnn_hidden_dim = 5@int")
    with pytest.raises(ConfigError) as caught:
        resolve_file(file, (), catalog)
    assert "pip install ssl-plugin-rnnclvr" in str(caught.value)
    assert "rnn_hidden_dim" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "key", "value", "note"),
    [
        (("seed = 7@int", "seed = -1@int"), ("run", "seed"), 0, "seed = -1 stood for none"),
        (("'devices'", "'device'"), ("trainer", "devices"), 4, "for each of 4 devices"),
        (("top_k = 3", "top_k = -1"), ("checkpoint", "keep"), 2, "save_top_k = -1 has no effect"),
        (
            ("only_eval = @bool", "ckpt_path = x.ckpt@str"),
            ("run", "epochs"),
            100,
            "ckpt_path has no effect without only_eval",
        ),
    ],
)
def test_what_a_value_stood_for_is_kept_and_said(change, key, value, note, catalog, tmp_path):
    file = write(tmp_path)
    file.write_text(file.read_text().replace(*change))
    config = resolve_file(file, (), catalog)
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
def test_an_argument_of_another_method_is_accepted_and_said(method, extra, catalog, tmp_path):
    """They were refused in words of today's sections, which nobody had written."""
    config = resolve_file(write(tmp_path, method, extra), (), catalog)
    key = extra.split(" ")[0]
    assert any(f"{key} has no effect for {method}" in note for note in config.notes)


def test_what_a_linear_evaluation_does_not_use_is_said(catalog, tmp_path):
    text = LINEAR + "temperature = 0.1@float\nwarmup_epochs = 3@int\n"
    config = resolve_file(write(tmp_path, phase="linear_eval", text=text), (), catalog)
    for key in ("momentum", "temperature", "warmup_epochs"):
        assert any(f"{key} has no effect in a linear evaluation" in note for note in config.notes)


def test_a_mark_at_the_start_of_a_file_is_passed_over(catalog, tmp_path):
    file = write(tmp_path)
    file.write_text("\ufeff" + file.read_text(), encoding="utf-8")
    assert resolve_file(file, (), catalog).run.seed == 7


def test_pretraining_and_its_linear_evaluation_have_folders_of_their_own(catalog, tmp_path):
    """Both files have the method's name: one folder would call the second a changed config."""
    pretraining = resolve_file(write(tmp_path), (), catalog)
    linear = resolve_file(write(tmp_path, phase="linear_eval", text=LINEAR), (), catalog)
    assert (pretraining.run.name, linear.run.name) == ("old", "old-linear_eval")


def test_the_linear_batch_is_for_each_device_too(catalog, tmp_path):
    text = LINEAR.replace("batch_size", "compute_cfg = {{'devices': 2}}@dict\nbatch_size")
    config = resolve_file(write(tmp_path, phase="linear_eval", text=text), (), catalog)
    assert config.components["evaluator.linear"].settings.batch_size == 256


def test_a_checkpoint_is_found_from_the_working_folder_and_converted_so(
    catalog, tmp_path, monkeypatch
):
    """The older project took paths from where it was started; a converted file may lie anywhere."""
    (tmp_path / "simclr.ckpt").touch()
    monkeypatch.chdir(tmp_path)
    text = LINEAR.replace("/somewhere/simclr.ckpt", "simclr.ckpt")
    file = write(tmp_path, phase="linear_eval", text=text)
    assert resolve_file(file, (), catalog).run.init_from == tmp_path / "simclr.ckpt"
    assert f"init_from = {tmp_path / 'simclr.ckpt'}" in convert(file, catalog)


def test_converted_it_is_the_same_configuration_with_its_comments(catalog, tmp_path):
    file = write(tmp_path)
    text = convert(file, catalog)
    for comment in ("# a run of the older project", "## how long", "## the method", "# narrower"):
        assert text.count(comment) == 1
    assert "epochs = 100  ## how long" in text
    assert "@" not in text
    assert not is_older(text)
    today = tmp_path / "pretrain" / "today.ini"
    today.write_text(text, encoding="utf-8")
    one, two = (resolve_file(f, ("run.name=x",), catalog) for f in (file, today))
    assert one.to_ini() == two.to_ini()


def test_a_file_of_today_is_not_converted(catalog, tmp_path):
    file = tmp_path / "new.ini"
    file.write_text("[method]\nname = simclr\n")
    with pytest.raises(ConfigError, match="is not in the older dialect"):
        convert(file, catalog)


WANDB = """
[wandb_args]
project = ssl@str
entity = lab@str
name = first@str
save_dir = logs@str
offline = True@bool
"""


def test_weights_and_biases(catalog, tmp_path):
    file = write(tmp_path)
    file.write_text(file.read_text().replace("log_type = csv", "log_type = wandb") + WANDB)
    config = resolve_file(file, (), catalog)
    found = config.components["logger.wandb"].settings
    assert (found.project, found.entity, found.run_name, found.offline) == (
        *("ssl", "lab", "first", True),
    )
    assert any("save_dir has no effect" in note for note in config.notes)
