"""Tests of commands and messages if ffcv is missing or broken."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from ssl_plugin_ffcv import packing
from ssl_plugin_ffcv.command import _print_summary
from ssl_plugin_ffcv.library import SYSTEM_PACKAGES, library
from ssl_plugin_ffcv.sidecar import read_sidecar
from ssl_plugin_ffcv.writing import WriteResult

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
        (MISSING, "need the package ffcv; install it with `apt-get"),
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
    with pytest.raises(
        UserError, match="packed images need the package ffcv; install it with `apt-get install"
    ):
        ssl_host.build("data", "ffcv", path="packed.beton")
    library.cache_clear()


def test_plugin_import_does_not_import_torch_or_ffcv():
    code = (
        "import sys, ssl_host, ssl_plugin_ffcv as p; p.register_commands(ssl_host.CommandGroup());"
        "sys.exit(bool({'torch', 'ffcv', 'numba', 'cv2', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pack_notes_and_warnings_are_stored(monkeypatch, tmp_path):
    for i in range(6):
        path = tmp_path / "images" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(i).integers(0, 4096, (20, 80), dtype=np.uint16)
        Image.fromarray(values).save(path)

    def write(file, images, *_):
        file.write_bytes(b"packed")
        return WriteResult(list(range(len(images))), [])

    monkeypatch.setattr(packing, "library", lambda: SimpleNamespace(version="1"))
    monkeypatch.setattr(packing, "write_beton", write)
    settings = {"root": str(tmp_path / "images"), "image_size": "16"}
    for more, num_warnings, num_notes in (
        ({}, 1, 1),
        ({"fit": "pad", "value_range": (0, 4095)}, 0, 0),
    ):
        options = packing.PackOptions("imagefolder", settings | more, force=True)
        info = packing.pack(tmp_path / "x.beton", options)
        assert read_sidecar(tmp_path / "x.beton") == info
        assert (len(info.warnings), len(info.notes)) == (num_warnings, num_notes)
        if not more:
            assert "set [data] value_range" in info.warnings[0]
            assert "as long as wide" in info.notes[0]
            _print_summary(tmp_path / "x.beton", info)
    assert (info.fit, info.value_range) == ("pad", (0, 4095))
