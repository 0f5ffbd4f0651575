"""Print the tests of the files that differ from a commit: ``python tests/changed.py HEAD``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALWAYS = ("tests/test_architecture.py", "tests/test_public_api.py", "tests/test_hookspecs.py")


def changed_files(base: str) -> list[str]:
    """Return tracked files that differ from ``base``, and untracked ones."""
    commands = (
        ["git", "diff", "--name-only", base],
        ["git", "ls-files", "--others", "--exclude-standard"],
    )
    return [
        line
        for command in commands
        for line in subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    ]


def tests_of(file: str) -> list[str]:
    """Return the tests of one file: itself, its package's, or its plugin's."""
    parts = Path(file).parts
    if parts[0] == "tests":
        name = Path(file).name
        return [file] if name.startswith("test_") else [str(Path(file).parent)]
    if parts[0] == "plugins":
        return [f"plugins/{parts[1]}/tests"]
    if parts[0] == "ssl_host" and len(parts) > 2:
        return [f"tests/{parts[1]}"]
    if parts[0] == "ssl_host":
        return [f"tests/test_{Path(file).stem}.py"]
    if parts[0] == "examples":
        return ["tests/docs/test_examples.py"]
    return []


def select(files: Iterable[str]) -> list[str]:
    """Return existing test paths for changed files, without one that another contains."""
    found = {*ALWAYS, *(test for file in files for test in tests_of(file))}
    existing = sorted(test for test in found if test != "tests" and (ROOT / test).exists())
    return [t for t in existing if not any(t.startswith(f"{other}/") for other in existing)]


if __name__ == "__main__":
    print(*select(changed_files(sys.argv[1] if len(sys.argv) > 1 else "HEAD")))
