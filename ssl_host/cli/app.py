"""The ``ssl-host`` command: its subcommands, and the one place where errors become messages."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from ssl_host import __version__
from ssl_host.cli.benchmark import benchmark
from ssl_host.cli.component import component
from ssl_host.cli.config import config
from ssl_host.cli.evaluate import evaluate
from ssl_host.cli.export import export
from ssl_host.cli.options import Session, echo_json, session_options
from ssl_host.cli.plugin import plugin
from ssl_host.cli.plugin_check import check
from ssl_host.cli.report import report
from ssl_host.cli.run import run
from ssl_host.cli.signals import ExitOnSignal
from ssl_host.errors import SslHostError

INTERRUPTED = 130
RESUMED = (["run"], ["evaluate"], ["benchmark"])
"""Commands that a cluster starts again when they were asked to stop."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ssl-host")
@session_options
def cli() -> None:
    """Self-supervised learning of image representations, made of plugins."""


for command in (run, evaluate, report, export, benchmark, config, component, plugin):
    cli.add_command(command)
plugin.add_command(check)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point; ends the process with the command's exit status.

    0 done, 1 the run failed, 2 the user's input was wrong, 75 asked to stop: start again.
    """
    session = Session()
    given = list(sys.argv[1:] if arguments is None else arguments)
    ending = ExitOnSignal() if given[:1] in RESUMED else None
    _let_plugins_add_commands(given)
    try:
        cli.main(given, prog_name="ssl-host", standalone_mode=False, obj=session)
        status = 0
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except click.exceptions.Exit as error:
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; give the same command again to go on", err=True)
        status = INTERRUPTED
    except SslHostError as error:
        if session.traceback:
            traceback.print_exc()
        click.echo(_told(error), err=True)
        status = error.exit_status
        if session.json:
            _as_json(error)
    if ending is not None:
        ending.status = status
    sys.exit(status)


def _as_json(error: SslHostError) -> None:
    try:
        echo_json({"error": str(error), "exit_status": error.exit_status})
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(error: SslHostError) -> str:
    text = str(error)
    return text if error.exit_status == 2 else f"error: {text}"


def _let_plugins_add_commands(given: Sequence[str]) -> None:
    """Ask plugins for commands only when an unknown one, or the help, is asked for."""
    from ssl_host.catalog.catalog import Catalog  # noqa: PLC0415 - start-up is counted

    words = list(given)
    blocked = []
    while words and words[0].startswith("-"):
        if words.pop(0) == "-p" and words:
            blocked.append(words.pop(0).removeprefix("no:"))
    if words and words[0] in cli.commands:
        return
    catalog = Catalog(blocked)
    try:
        catalog.call("register_commands", cli=cli)
    except Exception as error:  # a plugin's command takes nothing else down
        click.echo(f"warning: a plugin could not add its commands: {error}", err=True)
