"""All exceptions that ssl-host raises on purpose.

::

    SslHostError
    ├── UserError            invalid input; shown without a traceback, exit status 2
    │   ├── ConfigError      invalid lines in an INI file or invalid ``-o`` options
    │   ├── DataError        a dataset, an image or a split cannot be used
    │   ├── DownloadError    weights or data cannot be downloaded
    │   ├── PluginError      a plugin or component is missing, broken or blocked
    │   └── RunFolderError   a run folder belongs to a different run or is in use
    ├── RunError             a run or another command failed; exit status 1
    │   ├── NonFiniteError   a loss or a gradient is infinite or NaN
    │   └── CheckpointError  a checkpoint is damaged or does not fit
    ├── Preempted            the process was asked to stop; exit status 75
    └── ContractError        a plugin's class breaks the contract (also a TypeError)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SslHostError(Exception):
    """Base class of all exceptions of ssl-host."""

    exit_status = 1
    """Exit status of the command when this exception stops it."""
    location: str = ""
    """File and line of the setting that caused the error, if they are already in the message."""


class UserError(SslHostError):
    """Raised when the user's input is invalid; the message is shown without a traceback."""

    exit_status = 2


@dataclass(frozen=True, order=True)
class Problem:
    """Problem in a configuration, with its location.

    Attributes:
        where: file and line, such as ``file.ini:12``, or the name of a configuration layer.
        message: what is wrong, what was expected and how to fix it.
        is_missing: True if a required setting is not set; a preset may leave it to the user.
    """

    where: str
    message: str
    is_missing: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ConfigError(UserError):
    """Raised when a configuration is invalid; the message has one line for each problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DataError(UserError):
    """Raised when a dataset, a split or an image cannot be used."""


class DownloadError(UserError):
    """Raised when weights or data cannot be downloaded; the host does not try again."""


class PluginError(UserError):
    """Raised when a plugin or component is missing, broken or blocked, or has failed."""

    component: object = None
    """Component that failed, or None."""


class RunFolderError(UserError):
    """Raised when a run folder cannot be used, for example because another run is using it."""


class RunError(SslHostError):
    """Raised when a run or another command fails although the user's input is valid."""


class Preempted(SslHostError):  # noqa: N818 - a control-flow signal, not an error
    """Raised when a signal has stopped the process and everything needed to resume is saved.

    Exit status 75 (EX_TEMPFAIL) means that running the same command again resumes the run.
    """

    exit_status = 75


class NonFiniteError(RunError):
    """Raised when a loss or a gradient is infinite or NaN."""


class CheckpointError(RunError):
    """Raised when a checkpoint is damaged or does not fit the network or the run."""


class ContractError(SslHostError, TypeError):
    """Raised when a class or a component of a plugin breaks the plugin contract."""

    exit_status = 2
