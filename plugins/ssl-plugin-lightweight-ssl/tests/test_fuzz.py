"""Randomly broken files: accepted, or refused with a message and never a Python error.

A test run tries two hundred; set SSL_HOST_FUZZ=10000 in the environment to try more.
"""

import os
import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssl_host import UserError, resolve_file

COUNT = int(os.environ.get("SSL_HOST_FUZZ", "200"))
VALID = """\
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
FRAGMENTS = [
    *("[", "]", "=", "@", "${", "}", "#", ";", "\n", " ", "\t", "nan", "inf", "-1", "1e999"),
    *("None", "@int", "@dict", "@list", "__import__('os')", "((((", "é", "\x00", "\ufeff"),
    *("[run]", "[[", "name", "0", "9" * 40, "'", '"', "\\", "..", "/"),
]


def mutate(text, rng):
    """Make one to four changes: insert, delete, repeat or replace text, or shuffle the lines."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.randint(1, 12))
        lines = text.splitlines(keepends=True)
        rng.shuffle(lines)
        text = rng.choice(
            [
                text[:at] + rng.choice(FRAGMENTS) + text[at:],
                text[:at] + text[end:],
                text[:end] + text[at:],
                text[:at] + rng.choice(FRAGMENTS) + text[end:],
                "".join(lines),
            ]
        )
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@given(seed=st.integers(0, 2**63))
@settings(
    max_examples=COUNT,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
def test_broken_file_is_refused_with_messages_and_not_python_errors(seed, folder, catalog):
    file = folder / "old.ini"
    file.write_text(mutate(VALID, random.Random(seed)), encoding="utf-8", newline="")
    try:
        resolve_file(file, (), catalog)
    except UserError as error:
        for line in str(error).splitlines():
            assert len(line) > 15, error
            assert not re.search(r"\b(KeyError|TypeError|AttributeError|IndexError)\b", line), error
