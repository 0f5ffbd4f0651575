"""Tests of commands and messages if ffcv is missing or broken."""

import os
import subprocess
import sys

import pytest
from ssl_plugin_ffcv.library import SYSTEM_PACKAGES, library

import ssl_host
from ssl_host import UserError

PACKED = "[method]\nname = simclr\n\n[data]\nname = ffcv\npath = packed.beton\n"
MISSING = "raise ModuleNotFoundError(\"No module named 'ffcv'\", name='ffcv')"
BROKEN = "raise ImportError('libopencv_core.so.406: cannot open shared object file')"


@pytest.fixture
def blocked(tmp_path):
    """Return a function that returns environment variables with a replacement of ffcv."""

    def block(code):
        site = tmp_path / "site" / "ffcv"
        site.mkdir(parents=True)
        (site / "__init__.py").write_text(code, encoding="utf-8")
        path = os.environ.get("PYTHONPATH", "")
        return {"PYTHONPATH": os.pathsep.join(filter(None, (str(site.parent), path)))}

    return block


@pytest.fixture
def process(tmp_path):
    """Return a function that runs ssl-host in a separate process, which imports ffcv again."""

    def run(*arguments, env):
        return subprocess.run(
            [sys.executable, "-m", "ssl_host", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160", **env},
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (MISSING, "need the package ffcv: `apt-get"),
        (BROKEN, "ffcv, which cannot be imported (libopencv_core.so.406: cannot open"),
    ],
)
def test_pack_and_check_say_in_one_line_what_to_install(code, message, blocked, process, tmp_path):
    env = blocked(code)
    (tmp_path / "packed.ini").write_text(PACKED)
    for arguments in (
        ("data", "pack", "packed.beton", "--data", "synthetic"),
        ("config", "check", "packed.ini"),
    ):
        done = process(*arguments, env=env)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert f"`apt-get install {SYSTEM_PACKAGES}`, then `pip install ffcv`" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("*packed.beton*"))


def test_lists_help_and_settings_work_without_ffcv(blocked, process):
    env = blocked(MISSING)
    assert "--quality" in process("data", "pack", "--help", env=env).stdout
    assert "packed file OUT.beton" in process("component", "show", "data", "ffcv", env=env).stdout
    done = process("component", "list", "data", env=env)
    assert "packed by `ssl-host data pack`" in done.stdout
    assert "data" in process("--help", env=env).stdout


def test_build_without_ffcv_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ffcv", None)
    library.cache_clear()
    with pytest.raises(UserError, match="packed images need the package ffcv: `apt-get install"):
        ssl_host.build("data", "ffcv", path="packed.beton")
    library.cache_clear()


def test_plugin_import_does_not_import_torch_or_ffcv():
    code = (
        "import sys, ssl_host, ssl_plugin_ffcv as p; p.register_commands(ssl_host.CommandGroup());"
        "sys.exit(bool({'torch', 'ffcv', 'numba', 'cv2', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
