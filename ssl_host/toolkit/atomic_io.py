"""Atomic file writes, and error messages for full, failing or disconnected disks."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssl_host.errors import RunError


def _error_numbers(*names: str) -> set[int]:
    """Return the errno values of those error names that the operating system defines."""
    return {getattr(errno, name) for name in names if hasattr(errno, name)}


_FULL = _error_numbers("ENOSPC", "EDQUOT", "EFBIG")
_DISCONNECTED = _error_numbers(
    "ESTALE", "ENOTCONN", "EREMOTEIO", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH"
)
_FAILING = _error_numbers("EROFS", "EIO") | _DISCONNECTED
_TOO_MANY_OPEN = _error_numbers("EMFILE", "ENFILE")


def is_disk_error(error: BaseException) -> bool:
    """Return True if the disk is full, failing or disconnected, or too many files are open."""
    return isinstance(error, OSError) and error.errno in _FULL | _FAILING | _TOO_MANY_OPEN


def affects_all_files(error: OSError) -> bool:
    """Return True if an error affects every file: a disconnected disk or too many open files."""
    return error.errno in _DISCONNECTED | _TOO_MANY_OPEN


def suggest_remedy(error: OSError) -> str:
    """Return what to do about a disk error, as a sentence without a full stop."""
    if error.errno in _FULL:
        return "Free some space and run the same command again"
    if error.errno in _TOO_MANY_OPEN:
        return "Raise the limit of open files (ulimit -n) and run the same command again"
    return "Check the disk and run the same command again"


def reserve_disk_space(descriptor: int, size: int, name: Path) -> None:
    """Allocate disk space for a file before it is memory-mapped.

    Otherwise, a write to a mapped page on a full disk would kill the process. Systems without
    ``posix_fallocate`` allocate nothing.

    Args:
        descriptor: file descriptor of the open file.
        size: number of bytes to allocate.
        name: path of the file, for the error message.

    Raises:
        OSError: when the space cannot be allocated; the error names ``name``.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(name)) from None


def atomic_write(path: Path, payload: bytes | memoryview) -> Path:
    """Write a file completely or not at all: write a temporary file, then rename it.

    Args:
        path: path of the file; it is overwritten if it exists.
        payload: content of the file.

    Returns:
        The given ``path``.

    Raises:
        OSError: when the file cannot be written; the error names ``path``, and an existing file
            stays unchanged.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        partial.unlink(missing_ok=True)  # free the space for the next attempt
        raise OSError(error.errno, error.strerror, str(path)) from None
    partial.replace(path)
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    return path


def atomic_write_text(path: Path, text: str) -> Path:
    """Write a UTF-8 text file as :func:`atomic_write` does, and return its path.

    Characters that UTF-8 cannot encode are escaped.
    """
    return atomic_write(path, text.encode("utf-8", "backslashreplace"))


@contextmanager
def report_disk_errors(folder: Path) -> Iterator[None]:
    """Context manager that turns disk errors into a RunError that says what to do.

    Args:
        folder: folder being written to; the message names it if the error names no file.

    Raises:
        RunError: when the disk is full, failing or disconnected, or too many files are open.
    """
    try:
        yield
    except OSError as error:
        if not is_disk_error(error):
            raise
        action = "written" if error.errno in _FULL else "used"
        raise RunError(
            f"{error.filename or folder} cannot be {action}: {error.strerror}. "
            f"{suggest_remedy(error)} to resume from the last checkpoint."
        ) from error
