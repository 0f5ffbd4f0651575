"""Randomly broken configurations: accepted, or refused with a message and never a traceback.

A test run tries two hundred; set SSL_HOST_FUZZ=10000 in the environment to try more.
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

COUNT = int(os.environ.get("SSL_HOST_FUZZ", "200"))
VALID = """\
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
FRAGMENTS = [
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


def mutate(text, rng):
    """Make one to four changes: insert, delete, repeat or replace text, or shuffle the lines."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.randint(1, 12))
        kind = rng.randrange(5)
        if kind == 0:
            text = text[:at] + rng.choice(FRAGMENTS) + text[at:]
        elif kind == 1:
            text = text[:at] + text[end:]
        elif kind == 2:
            text = text[:end] + text[at:end] + text[end:]
        elif kind == 3:
            text = text[:at] + rng.choice(FRAGMENTS) + text[end:]
        else:
            lines = text.splitlines(keepends=True)
            rng.shuffle(lines)
            text = "".join(lines)
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def error_message(text, file, catalog):
    """Return the message with which a configuration is refused, or None if it is valid."""
    file.write_text(text, encoding="utf-8", newline="")
    try:
        resolve_file(file, (), catalog)
    except UserError as error:
        return str(error)
    return None


@given(seed=st.integers(0, 2**63))
@settings(
    max_examples=COUNT,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
def test_broken_config_is_refused_with_messages_and_not_python_errors(seed, folder, catalog):
    message = error_message(mutate(VALID, random.Random(seed)), folder / "c.ini", catalog)
    for line in (message or "").splitlines():
        assert len(line) > 15, message
        assert "Traceback" not in line
        assert not re.search(r"\b(KeyError|TypeError|AttributeError|IndexError)\b", line), message


@pytest.mark.slow
def test_command_with_a_broken_config_exits_with_0_or_2_and_prints_the_messages(ssl_host, tmp_path):
    rng = random.Random(1)
    catalog = Catalog()
    for number in range(6):
        file = tmp_path / f"{number}.ini"
        message = error_message(mutate(VALID, rng), file, catalog)
        done = ssl_host("config", "check", file)
        assert done.returncode in ((0, 2) if message is None else (2,)), done.stderr
        assert "Traceback" not in done.stderr
        if message is not None:
            assert done.stderr.strip() == message
