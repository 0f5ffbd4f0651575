"""Tests of import contracts, file sizes and names."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FORBIDDEN_NAMES = {"utils", "misc", "base", "common", "helpers"}


def test_import_contracts_hold():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_import_in_the_wrong_direction_is_detected(tmp_path):
    config = tmp_path / "contracts.ini"
    config.write_text(
        "[importlinter]\nroot_package = ssl_host\n\n[importlinter:contract:1]\nname = wrong\n"
        "type = layers\nlayers =\n    ssl_host.contracts\n    ssl_host.compose\n",
        encoding="utf-8",
    )
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--config"]
    done = subprocess.run([*command, str(config)], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode != 0


def test_files_are_short_and_none_is_called_utils():
    files = [*ROOT.glob("ssl_host/**/*.py"), *ROOT.glob("plugins/*/ssl_plugin_*/**/*.py")]
    assert len(files) > 100
    for file in files:
        assert file.stem not in FORBIDDEN_NAMES, file
        lines = len(file.read_text(encoding="utf-8").splitlines())
        assert lines <= 300, f"{file} has {lines} lines"


def test_host_code_names_no_plugin():
    methods = ("simsiam", "simclr", "barlowtwins", "nnclr", "byol", "mocov2", "ijepa", "mocov3")
    for file in ROOT.glob("ssl_host/**/*.py"):
        if "builtin" in file.parts or "dialect" in file.name:
            continue
        code = [
            line
            for line in file.read_text(encoding="utf-8").splitlines()
            if "==" in line or " in (" in line
        ]
        for line in code:
            assert not any(f'"{name}"' in line for name in methods), f"{file}: {line}"
