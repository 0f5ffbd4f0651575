"""A disk that is full or fails is nobody's fault and ends a run with a sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssl_host.errors import RunError


def _numbers(*names: str) -> set[int]:
    return {getattr(errno, name) for name in names if hasattr(errno, name)}


_FULL = _numbers("ENOSPC", "EDQUOT", "EFBIG")
_GONE = _numbers("ESTALE", "ENOTCONN", "EREMOTEIO", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH")
_FAILING = _numbers("EROFS", "EIO") | _GONE
_TOO_MANY = _numbers("EMFILE", "ENFILE")


def is_disk_error(error: BaseException) -> bool:
    """Whether an error says that a file system took no more or is gone, whoever used it."""
    return isinstance(error, OSError) and error.errno in _FULL | _FAILING | _TOO_MANY


def affects_all_files(error: OSError) -> bool:
    """Whether it says nothing of the file that was read: every other one meets the same."""
    return error.errno in _GONE | _TOO_MANY


def remedy(error: OSError) -> str:
    """What to do about it."""
    if error.errno in _FULL:
        return "Free some space and give the same command again"
    if error.errno in _TOO_MANY:
        return "Raise the limit of open files (ulimit -n) and give the same command again"
    return "See to that disk and give the same command again"


def reserve(descriptor: int, size: int, name: Path) -> None:
    """Take the room of a file before it is mapped: a page that finds none kills the process.

    Args:
        size: bytes.
        name: what the error calls the file.

    Raises:
        OSError: when the disk has not so much.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(name)) from None


def atomic_write(path: Path, payload: bytes | memoryview) -> Path:
    """Write a file beside, bring it to the disk and rename it.

    Raises:
        OSError: when it cannot be written, by its name; a file of that name is then as it was.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        partial.unlink(missing_ok=True)  # on a full disk it would be in the way of the next try
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
    """The same for text. What is no Unicode in it, as names of files may be, is escaped."""
    return atomic_write(path, text.encode("utf-8", "backslashreplace"))


@contextmanager
def report_disk_errors(folder: Path) -> Iterator[None]:
    """Within it a disk that is full or fails becomes a sentence.

    Args:
        folder: what is being written, where the error names no file.

    Raises:
        RunError: instead of the OSError.
    """
    try:
        yield
    except OSError as error:
        if not is_disk_error(error):
            raise
        used = "written" if error.errno in _FULL else "used"
        raise RunError(
            f"{error.filename or folder} could not be {used}: {error.strerror}. {remedy(error)}: "
            "the run goes on from its last checkpoint"
        ) from error
