"""Warnings about settings, which ``run``, ``--dry-run`` and ``config check`` print."""

import pytest

from tests.conftest import as_ini, tiny

SWAV = {"method": {"name": "swav", "num_prototypes": 300}, "augmentation": {"local_size": 8}}


@pytest.mark.parametrize(
    "arguments", [("config", "check"), ("run", "--dry-run"), ("run", "--dry-run", "--json")]
)
def test_warnings_of_the_method_are_printed_before_a_run(arguments, ssl_host, tmp_path):
    (tmp_path / "c.ini").write_text(as_ini(tiny(**SWAV)), encoding="utf-8")
    done = ssl_host(*arguments, "c.ini")
    assert done.returncode == 0, done.stderr
    assert "warning" in done.stdout
    assert "num_prototypes = 300" in done.stdout
