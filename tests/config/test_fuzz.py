"""Broken configurations of every kind: accepted, or refused with a sentence; never a traceback.

The suite tries some hundred; with SSL_HOST_FUZZ=10000 in the environment as many as that.
"""

import os
import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_file
from ssl_host.errors import UserError

COUNT = int(os.environ.get("SSL_HOST_FUZZ", "400"))
WHOLE = """\
[run]
name = trial            # a comment
extends = nnclr/cifar10
seed = 3
epochs = 10
batch_size = 64

[data]
name = synthetic
image_size = 32

[method]
name = nnclr
temperature = 0.2
queue_size = 1000

[head.projector]
hidden_dim = 256
output_dim = ${head.predictor.hidden_dim}

[head.predictor]
hidden_dim = 128

[backbone]
name = timm
model = resnet18
stem = cifar

[augmentation]
name = simclr
crop_min = 0.2

[optimizer]
name = lars
base_lr = 0.3
weight_decay = 1e-6

[trainer]
devices = [0]
precision = auto
gradient_clip = none

[evaluator.knn]
k = 20

[evaluator.linear]
learning_rates = [0.01, 0.1]
"""
OLDER = """\
seed = 7@int
epochs = 100@int
compute_cfg = {'devices':1, 'accelerator':'cpu'}@dict
backbone = resnet18@str
ssl_method = simclr@str
dataset = cifar10@str
batch_size = 64@int
aug_crop_lst = [2]@list
[ckpt_args]
save_top_k = 3@int
[ssl_args]
lr = 0.06@float
"""
SIGNS = [
    *(
        "[",
        "]",
        "=",
        "@",
        "${",
        "}",
        "#",
        ";",
        "\n",
        " ",
        "\t",
        "nan",
        "inf",
        "-1",
        "1e999",
        "None",
    ),
    *(
        "${run.name}",
        "${env:HOME}",
        "@int",
        "@dict",
        "__import__('os')",
        "((((",
        "é",
        "\x00",
        "\ufeff",
    ),
    *("[run]", "[[", "name", "0", "9" * 40, "'", '"', "\\", "..", "/"),
]


def mutated(text, chance):
    """One to four changes: a sign put in, a stretch cut out, doubled or exchanged, a line moved."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text) + 1)
        end = min(len(text), at + chance.randint(1, 12))
        kind = chance.randrange(5)
        if kind == 0:
            text = text[:at] + chance.choice(SIGNS) + text[at:]
        elif kind == 1:
            text = text[:at] + text[end:]
        elif kind == 2:
            text = text[:end] + text[at:end] + text[end:]
        elif kind == 3:
            text = text[:at] + chance.choice(SIGNS) + text[end:]
        else:
            lines = text.splitlines(keepends=True)
            chance.shuffle(lines)
            text = "".join(lines)
    return text


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def judged(text, file, catalog):
    """The sentence a configuration is refused with, or None."""
    file.write_text(text, encoding="utf-8", newline="")
    try:
        resolve_file(file, (), catalog)
    except UserError as error:
        return str(error)
    return None


@given(seed=st.integers(0, 2**63), older=st.booleans())
@settings(
    max_examples=COUNT,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
def test_a_broken_configuration_is_told_in_sentences(seed, older, place, catalog):
    """Seen to fail with the errors of literals that are none let through."""
    text = mutated(OLDER if older else WHOLE, random.Random(seed))
    told = judged(text, place / "c.ini", catalog)
    if told is not None:
        for line in told.splitlines():
            assert len(line) > 15, told
            assert "Traceback" not in line
            assert not re.search(r"\b(KeyError|TypeError|AttributeError|IndexError)\b", line), told


@pytest.mark.slow
def test_a_sample_through_the_real_command(ssl_host, tmp_path):
    """Status 0 with a line of praise, or 2 with sentences on stderr, and nothing else."""
    chance = random.Random(1)
    catalog = Catalog()
    for number in range(6):
        file = tmp_path / f"{number}.ini"
        told = judged(mutated(WHOLE, chance), file, catalog)
        done = ssl_host("config", "check", file)
        assert done.returncode in ((0, 2) if told is None else (2,)), done.stderr
        assert "Traceback" not in done.stderr
        if told is not None:
            assert done.stderr.strip() == told
