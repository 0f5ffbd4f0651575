"""``ssl-host run``: train and evaluate a run, and write its report."""

from __future__ import annotations

import os
import shlex
from functools import partial
from pathlib import Path

import click

from ssl_host.cli.options import (
    Session,
    echo_json,
    json_option,
    override_option,
    pass_session,
    session_options,
)


@click.command()
@click.argument("config_file", metavar="CONFIG", required=False, type=click.Path(path_type=Path))
@override_option
@click.option(
    "--fresh",
    is_flag=True,
    help="Start from the beginning; the folder of an earlier run is renamed.",
)
@click.option(
    "--more-epochs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Continue the finished run for N more epochs, as the new run NAME-Eepochs with E epochs "
    "in all; the folder of the finished run is not changed.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Build all components, time a few training steps and estimate the training time.",
)
@json_option
@session_options
@pass_session
def run(
    session: Session,
    config_file: Path | None,
    options: tuple[str, ...],
    fresh: bool,
    more_epochs: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train and evaluate the run that the INI file CONFIG describes, and write its report.

    The same command resumes an unfinished run and prints the results of a finished one.
    """
    catalog = session.catalog()
    config_file = config_file or catalog.call("find_config")
    if config_file is None:
        raise click.UsageError("missing argument CONFIG, the INI file of the run")
    from ssl_host.config.resolve import resolve_file  # noqa: PLC0415
    from ssl_host.pipeline.continuation import resolve_more_epochs  # noqa: PLC0415
    from ssl_host.pipeline.dry_run import estimate_cost  # noqa: PLC0415
    from ssl_host.pipeline.run import run_config  # noqa: PLC0415
    from ssl_host.report.summary import summary_tables  # noqa: PLC0415
    from ssl_host.toolkit.console import make_console  # noqa: PLC0415 - these import torch

    resolve = partial(resolve_file, config_file, catalog=catalog)
    config = resolve_more_epochs(resolve, options, more_epochs)
    progress = make_console(stderr=True)
    if dry_run:
        estimate = estimate_cost(config, catalog, progress)
        if as_json:
            echo_json(estimate.as_dict())
        else:
            make_console().print(estimate.table())
        return
    hint = _moved_folder_hint(config_file, options, config.run.folder)
    if hint and more_epochs is None:
        progress.print(hint, style="yellow", soft_wrap=True)
    outcome = run_config(config, catalog, progress, fresh)
    if not outcome.results:
        return  # not the first process of a distributed run
    if as_json:
        echo_json(outcome.results)
        return
    console = make_console()
    if outcome.was_finished:
        console.print(f"{os.path.relpath(outcome.folder)} is finished; --fresh runs it again")
    console.print(summary_tables(outcome.results, outcome.printed))
    page = os.path.relpath(outcome.folder / "report.html")
    console.print(f"report: {page}", soft_wrap=True)


def _moved_folder_hint(config_file: Path, options: tuple[str, ...], folder: Path) -> str | None:
    """Return a note if a ``config.ini`` in a run folder starts a run elsewhere, or None."""
    from ssl_host.config.values import format_value  # noqa: PLC0415 - for a fast start

    location = config_file.resolve().parent
    is_overridden = any(option.startswith(("run.dir", "run.name")) for option in options)
    is_run_folder = config_file.name == "config.ini" and (location / "checkpoints").is_dir()
    if is_overridden or not is_run_folder or location == folder.resolve():
        return None
    return (
        f"note: {config_file} is in a run folder, but this run uses {folder}; to resume the old "
        f"run, add -o {shlex.quote(f'run.dir={format_value(config_file.parent.parent, Path)}')} "
        f"-o {shlex.quote(f'run.name={format_value(location.name, str)}')}"
    )
