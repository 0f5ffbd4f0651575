"""Folder that only one process can use at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from ssl_host.errors import RunFolderError
from ssl_host.toolkit.atomic_io import atomic_write_text

FolderType = TypeVar("FolderType", bound="LockedFolder")


class LockedFolder:
    """Context manager that creates and locks a folder, and writes files into it atomically.

    Args:
        path: the path of the folder.
        section: the INI section that sets ``name`` and ``dir`` of the folder, for error messages.
    """

    def __init__(self, path: Path, section: str) -> None:
        self.path = path
        self.section = section
        self._lock = FileLock(path / ".lock")
        self._is_new = False

    def __enter__(self: FolderType) -> FolderType:
        try:
            self._is_new = not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            # If a process dies, the kernel releases its lock, so a leftover lock file is harmless.
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RunFolderError(
                f"{self.path} is in use by another process; wait until that process ends, stop it, "
                f"or give this {self.section} a different name with -o {self.section}.name=..."
            ) from None
        except OSError as error:
            raise RunFolderError(
                f"{self.path} cannot be written: {error.strerror}; choose a different "
                f"folder with -o {self.section}.dir=..."
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def write_text(self, name: str, text: str) -> Path:
        """Atomically write a text file into the folder and return its path."""
        return atomic_write_text(self.path / name, text)

    def write_json(self, name: str, content: Mapping[str, Any]) -> Path:
        """Atomically write an indented JSON file into the folder and return its path."""
        return self.write_text(name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
