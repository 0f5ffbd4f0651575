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
    assert config.parts["method"].name == "simclr"
    assert config.parts["backbone"].settings.model == "resnet18"
    assert config.parts["data"].settings.root == tmp_path / "data"
    optimizer = config.parts["optimizer"].settings
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.06, 0.8, 5e-4)
    assert config.parts["head.projector"].settings.hidden_dim == 512
    assert (config.checkpoint.every_epochs, config.checkpoint.keep) == (5, 3)
    assert config.shown["run", "epochs"].origin.line == 3
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
        ("byol", "byol", "pred_hidden_dim = 99@int", "head.predictor", "hidden_dim", 99),
        ("simsiam", "simsiam", "proj_output_dim = 77@int", "head.projector", "output_dim", 77),
    ],
)
def test_all_six_methods_and_their_arguments(
    older, today, extra, section, key, value, catalog, tmp_path
):
    config = resolve_file(write(tmp_path, older, extra), (), catalog)
    assert config.parts["method"].name == today
    assert config.shown[section, key].value == value


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
    linear = config.parts["evaluator.linear"].settings
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


def test_weights_and_biases_name_what_to_install(catalog, tmp_path):
    file = write(tmp_path)
    file.write_text(file.read_text().replace("log_type = csv", "log_type = wandb"))
    if "wandb" in catalog.names("logger"):
        pytest.skip("the plugin is installed")
    with pytest.raises(ConfigError, match="pip install ssl-plugin-wandb"):
        resolve_file(file, (), catalog)
