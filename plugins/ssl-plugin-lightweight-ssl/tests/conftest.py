"""Example files of Lightweight-SSL and fixtures for the tests."""

import pytest

from ssl_host import Catalog

PRETRAIN = """\
# a run of Lightweight-SSL
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


@pytest.fixture(scope="session")
def catalog():
    return Catalog()


@pytest.fixture
def write_config(tmp_path):
    """Write an example file into the folder of its phase and return its path."""

    def write(method="simclr", extra="", phase="pretrain", replace=("", "")):
        text = LINEAR if phase == "linear_eval" else PRETRAIN
        (tmp_path / phase).mkdir(exist_ok=True)
        (tmp_path / "data").mkdir(exist_ok=True)
        file = tmp_path / phase / "old.ini"
        filled = text.format(method=method, extra=extra, data=tmp_path / "data")
        old, new = replace
        assert old in filled
        file.write_text(filled.replace(old, new) if old else filled, encoding="utf-8")
        return file

    return write
