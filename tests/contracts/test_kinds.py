"""Tests of the table of kinds against everything that is derived from it."""

import subprocess
import sys

import pytest

import ssl_host
from ssl_host import testing
from ssl_host.config.schema import HOST_SECTIONS
from ssl_host.contracts.component import Component
from ssl_host.contracts.kinds import KINDS


@pytest.mark.parametrize("name", KINDS)
def test_kind_names_its_public_base_class(name):
    base = KINDS[name].base_class()
    assert base.kind == name
    assert base is getattr(ssl_host, KINDS[name].base)
    assert issubclass(base, Component)


@pytest.mark.parametrize("name", KINDS)
def test_kind_has_checks_in_the_kit(name):
    assert testing.checks_of(name)
    assert getattr(testing, f"check_{name}").__name__ == f"check_{name}"


def test_no_kind_has_the_name_of_a_host_section():
    assert not set(KINDS) & set(HOST_SECTIONS)


def test_table_imports_no_torch():
    code = "import sys, ssl_host\nssl_host.KINDS\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
