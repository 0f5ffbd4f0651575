"""Define the ``ssl-host`` command with its subcommands, and print errors as messages."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from ssl_host import __version__
from ssl_host.cli.component import component
from ssl_host.cli.config import config
from ssl_host.cli.evaluate import evaluate
from ssl_host.cli.groups import CommandGroup
from ssl_host.cli.options import Session, echo_json, session_options
from ssl_host.cli.plugin import plugin
from ssl_host.cli.plugin_check import check
from ssl_host.cli.report import compare, report
from ssl_host.cli.run import run
from ssl_host.cli.signals import ExitOnSignal
from ssl_host.errors import SslHostError

INTERRUPTED = 130
"""Exit status after Ctrl-C."""

RESTARTABLE = ("run", "evaluate", "benchmark", "embed")
"""Commands that can be run again after a signal has stopped them (exit status 75)."""


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ssl-host")
@session_options
def cli() -> None:
    """Train and evaluate self-supervised image representations with plugins."""


for command in (run, evaluate, report, compare, config, component, plugin):
    cli.add_command(command)
plugin.add_command(check)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the status of the command.

    The exit status is 0 after success, 1 if the run failed, 2 if the input is wrong, 75 if a
    signal stopped the process (the same command resumes the run), and 130 after Ctrl-C.

    Args:
        arguments: the arguments after ``ssl-host``; None means ``sys.argv[1:]``.
    """
    session = Session()
    words = list(sys.argv[1:] if arguments is None else arguments)
    exit_on_signal = ExitOnSignal() if words and words[0] in RESTARTABLE else None
    status = _exit_status(words, session)
    if exit_on_signal is not None:
        exit_on_signal.status = status
    sys.exit(status)


def _exit_status(words: list[str], session: Session) -> int:
    """Run a command, print its error if it fails, and return the exit status."""
    try:
        # Plugins add commands to a copy, because one process may run several command lines.
        cli.independent_copy().main(words, prog_name="ssl-host", standalone_mode=False, obj=session)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; run the same command again to resume", err=True)
        return INTERRUPTED
    except SslHostError as error:
        if session.traceback:
            traceback.print_exc()
        click.echo(error if error.exit_status == 2 else f"error: {error}", err=True)
        if session.json:
            _echo_error_as_json(error)
        return error.exit_status
    return 0


def _echo_error_as_json(error: SslHostError) -> None:
    """Print an error message and the exit status as JSON."""
    try:
        echo_json({"error": str(error), "exit_status": error.exit_status})
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        # Python flushes stdout at exit, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
