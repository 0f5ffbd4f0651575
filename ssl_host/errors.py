"""Every error that ssl-host raises on purpose, as one tree.

::

    SslHostError
    ├── UserError            the input was wrong; shown without a traceback, exit status 2
    │   ├── ConfigError      one or more lines of an INI file or of ``-o`` options
    │   ├── DataError        a folder, an image, a split
    │   ├── PluginError      a plugin or a component is missing, broken or blocked
    │   └── RunFolderError   a run folder holds another run, or is in use
    ├── RunError             the run failed on the way; exit status 1
    │   ├── NonFiniteError   a loss or a gradient is not a number
    │   └── CheckpointError  a checkpoint is damaged or does not fit
    └── ContractError        a plugin's class breaks the contract (also a TypeError)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SslHostError(Exception):
    """The root of the tree."""

    exit_status = 1


class UserError(SslHostError):
    """What the user gave cannot be used. The message is shown as it stands."""

    exit_status = 2


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong in a configuration, and where.

    Attributes:
        where: ``file.ini:12`` or the name of the layer it came from.
        message: what was found, what was expected and what to do.
    """

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ConfigError(UserError):
    """All the problems of a configuration at once, one line each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DataError(UserError):
    """A data source has nothing to offer, or not what was asked for."""


class PluginError(UserError):
    """A plugin or one of its components is missing, broken or blocked."""


class RunFolderError(UserError):
    """A run folder belongs to another configuration, or to a process that is alive."""


class RunError(SslHostError):
    """The run could not go on. The message says what to do about it."""


class Preempted(SslHostError):  # noqa: N818 - nothing has gone wrong
    """The process was asked to end, and has written a checkpoint.

    The exit status 75 (EX_TEMPFAIL) means: give the same command again.
    """

    exit_status = 75


class NonFiniteError(RunError):
    """A loss or gradient became infinite or not a number."""


class CheckpointError(RunError):
    """A checkpoint is damaged, or was made by something else."""


class ContractError(SslHostError, TypeError):
    """A plugin's class does not keep the contract. Raised when the class is created or built."""

    exit_status = 2
