"""Tests of the hook specifications: each is documented and has a test."""

import inspect
import re
from pathlib import Path

import pytest

from ssl_host.catalog.discovery import hook_specs
from ssl_host.contracts.kinds import KINDS

HOOKS = hook_specs()


@pytest.mark.parametrize("name", HOOKS)
def test_hook_docstring_explains_time_arguments_and_result(name):
    text = inspect.getdoc(HOOKS[name])
    assert text, f"{name} has no docstring"
    assert text.startswith("Called "), f"{name}: the first words say when it is called"
    for argument in inspect.signature(HOOKS[name]).parameters:
        assert f"{argument}: " in text, f"{name} does not explain {argument}"
    returns = inspect.signature(HOOKS[name]).return_annotation
    assert returns in ("None", None) or "Returns:" in text, f"{name} does not say what it returns"


@pytest.mark.parametrize("name", sorted(set(HOOKS) - {kind.hook for kind in KINDS.values()}))
def test_hook_is_implemented_by_a_test_or_a_plugin_of_this_repository(name):
    root = Path(__file__).parents[1]
    files = [*root.glob("tests/**/test_*.py"), *root.glob("plugins/*/ssl_plugin_*/**/*.py")]
    assert any(re.search(rf"def {name}\(", file.read_text(encoding="utf-8")) for file in files)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_registration_hook_exists_for_each_kind_and_names_its_base_class(kind):
    hook = HOOKS[kind.hook]
    assert hook.__name__ == kind.hook
    assert f"ssl_host.{kind.base}``" in inspect.getdoc(hook)
