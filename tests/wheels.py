"""Builds a project's wheel and puts it where PYTHONPATH points: an installation without pip."""

import subprocess
import sys
import zipfile
from pathlib import Path


def build_wheel(project: Path, into: Path) -> Path:
    """The wheel of a project, built by its own backend, without the network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    stem = project.name.replace("-", "_")
    (wheel,) = into.glob(f"{stem}-*.whl")
    return wheel


def install(project: Path, site: Path) -> dict[str, str]:
    """Install a project into the folder ``site``, as pip would leave it there.

    Returns:
        The environment variables with which Python finds it.
    """
    with zipfile.ZipFile(build_wheel(project, site)) as wheel:
        wheel.extractall(site)
    return {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
