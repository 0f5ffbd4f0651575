"""Every hook is documented where it is declared, and has a test."""

import inspect
import re
from pathlib import Path

import pytest

from ssl_host.catalog.discovery import hook_names
from ssl_host.contracts.component import KINDS
from ssl_host.hookspecs import REGISTRATION

HOOKS = hook_names()


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_says_when_it_is_called_and_what_it_is_given(name):
    text = inspect.getdoc(HOOKS[name])
    assert text, f"{name} has no docstring"
    assert text.startswith("Called "), f"{name}: the first words say when it is called"
    for argument in inspect.signature(HOOKS[name]).parameters:
        assert f"{argument}: " in text, f"{name} does not explain {argument}"
    returns = inspect.signature(HOOKS[name]).return_annotation
    assert returns in ("None", None) or "Returns:" in text, f"{name} does not say what it returns"


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_test(name):
    tests = [p for p in Path(__file__).parent.rglob("test_*.py") if p != Path(__file__)]
    uses = [p for p in tests if re.search(rf"def {name}\(", p.read_text(encoding="utf-8"))]
    assert uses, f"no test has a plugin that implements {name}"


def test_there_is_a_registration_hook_for_each_kind():
    assert tuple(REGISTRATION) == KINDS
