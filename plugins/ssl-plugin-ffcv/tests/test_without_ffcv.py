"""What works, and what is said, where ffcv is missing or broken."""

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
    """The environment of a command in which importing ffcv does what a line of code says."""

    def block(code):
        site = tmp_path / "site" / "ffcv"
        site.mkdir(parents=True)
        (site / "__init__.py").write_text(code, encoding="utf-8")
        before = os.environ.get("PYTHONPATH", "")
        return {"PYTHONPATH": os.pathsep.join(filter(None, (str(site.parent), before)))}

    return block


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (MISSING, "need the package ffcv: `apt-get"),
        (BROKEN, "ffcv, which cannot be imported here (libopencv_core.so.406: cannot open"),
    ],
)
def test_both_ways_in_say_in_one_line_what_to_install(code, says, blocked, command, tmp_path):
    env = blocked(code)
    (tmp_path / "packed.ini").write_text(PACKED)
    for words in (
        ("data", "pack", "packed.beton", "--data", "synthetic"),
        ("config", "check", "packed.ini"),
    ):
        done = command(*words, env=env)
        assert done.returncode == 2, done.stderr
        assert says in done.stderr
        assert f"`apt-get install {SYSTEM_PACKAGES}`, then `pip install ffcv`" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("*packed.beton*"))


def test_lists_help_and_settings_need_no_ffcv(blocked, command):
    env = blocked(MISSING)
    assert "--quality" in command("data", "pack", "--help", env=env).stdout
    assert "packed file, OUT.beton" in command("component", "show", "data", "ffcv", env=env).stdout
    listed = command("component", "list", "data", env=env)
    assert "packed by `ssl-host data pack`" in listed.stdout
    assert "data" in command("--help", env=env).stdout


def test_building_it_from_python_says_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "ffcv", None)
    library.cache_clear()
    with pytest.raises(UserError, match="packed images need the package ffcv: `apt-get install"):
        ssl_host.build("data", "ffcv", path="packed.beton")
    library.cache_clear()


def test_registering_imports_neither_torch_nor_ffcv():
    code = (
        "import sys, ssl_host, ssl_plugin_ffcv as p; p.register_commands(ssl_host.CommandGroup());"
        "sys.exit(bool({'torch', 'ffcv', 'numba', 'cv2', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
