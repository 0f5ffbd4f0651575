"""Exceptions that ssl-host raises on purpose, in one hierarchy.

::

    SslHostError
    ├── UserError            invalid input; shown without a traceback, exit status 2
    │   ├── ConfigError      invalid lines of an INI file or of ``-o`` options
    │   ├── DataError        a dataset, an image or a split cannot be used
    │   ├── PluginError      a plugin or component is missing, broken or blocked
    │   └── RunFolderError   a run folder contains another run or is in use
    ├── RunError             the run failed; exit status 1
    │   ├── NonFiniteError   a loss or a gradient is infinite or not a number
    │   └── CheckpointError  a checkpoint is damaged or does not fit
    ├── Preempted            the process was asked to stop; exit status 75
    └── ContractError        a plugin's class violates the contract (also a TypeError)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SslHostError(Exception):
    """Base class of all exceptions of ssl-host."""

    exit_status = 1
    """Exit status of the command line."""


class UserError(SslHostError):
    """Invalid input of the user. The message is shown without a traceback."""

    exit_status = 2


@dataclass(frozen=True, order=True)
class Problem:
    """Problem in a configuration, with its location.

    Attributes:
        where: ``file.ini:12``, or the name of the configuration layer.
        message: what is wrong, what is expected and what to do.
    """

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ConfigError(UserError):
    """All problems of a configuration, one line each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DataError(UserError):
    """A data source, an image or a split cannot be used."""


class PluginError(UserError):
    """A plugin or one of its components is missing, broken or blocked, or has failed."""


class RunFolderError(UserError):
    """A run folder contains a run of another configuration, or another process uses it."""


class RunError(SslHostError):
    """A run has failed. The message says what to do."""


class Preempted(SslHostError):  # noqa: N818 - a control-flow signal, not an error
    """The process was asked to stop and has written a checkpoint.

    The exit status 75 (EX_TEMPFAIL) means: run the same command again to resume.
    """

    exit_status = 75


class NonFiniteError(RunError):
    """A loss or a gradient is infinite or not a number."""


class CheckpointError(RunError):
    """A checkpoint is damaged, or does not fit the network or the run."""


class ContractError(SslHostError, TypeError):
    """A class of a plugin violates the contract; raised when it is defined or built."""

    exit_status = 2
