"""``ssl-host run``."""

from __future__ import annotations

import os
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

OLDER_VARIABLE = "CONFIGER_PATH"
"""Where the older project's scripts put the path of the configuration."""


@click.command()
@click.argument("config_file", metavar="CONFIG", required=False, type=click.Path(path_type=Path))
@override_option
@click.option("--fresh", is_flag=True, help="Begin anew; an earlier run is moved aside.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Compose everything, try a few steps, say what a run would cost.",
)
@json_option
@session_options
@pass_session
def run(
    session: Session,
    config_file: Path | None,
    options: tuple[str, ...],
    fresh: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train, evaluate and report what an INI file describes.

    The same command again goes on with an unfinished run and shows a finished one.
    """
    if config_file is None:
        if OLDER_VARIABLE not in os.environ:
            raise click.UsageError(f"name an INI file, or set {OLDER_VARIABLE} to one")
        config_file = Path(os.environ[OLDER_VARIABLE])
    from ssl_host.config.resolve import resolve_file  # noqa: PLC0415
    from ssl_host.pipeline.dry_run import dry_run as try_out  # noqa: PLC0415
    from ssl_host.pipeline.run import run_config  # noqa: PLC0415
    from ssl_host.report.summary import summary_tables  # noqa: PLC0415
    from ssl_host.toolkit.console import make_console  # noqa: PLC0415 - torch comes with what follows

    catalog = session.catalog()
    config = resolve_file(config_file, options, catalog)
    if dry_run:
        estimate = try_out(config, catalog)
        if as_json:
            echo_json(estimate.as_dict())
        else:
            make_console().print(estimate.table())
        return
    progress = make_console(stderr=True)
    moved = _moved(config_file, options, Path(config.run.dir) / config.run.name)
    if moved:
        progress.print(moved, style="yellow", soft_wrap=True)
    outcome = run_config(config, catalog, progress, fresh)
    if not outcome.results:
        return  # a further process of a distributed run
    if as_json:
        echo_json(outcome.results)
        return
    screen = make_console()
    if outcome.was_finished:
        screen.print(
            f"{os.path.relpath(outcome.folder)} is finished already; --fresh begins anew",
        )
    screen.print(summary_tables(outcome.results))
    page = os.path.relpath(outcome.folder / "report.html")
    screen.print(f"report: {page}", soft_wrap=True)


def _moved(config_file: Path, options: tuple[str, ...], folder: Path) -> str | None:
    """What is to be said where a run folder's own configuration names another folder."""
    here = config_file.resolve().parent
    told = any(option.startswith(("run.dir", "run.name")) for option in options)
    in_a_run = config_file.name == "config.ini" and (here / "checkpoints").is_dir()
    if told or not in_a_run or here == folder.resolve():
        return None
    return (
        f"note: {config_file} lies in a run folder, and names another one, {folder}; to go on with "
        f"what is beside it: -o run.dir={config_file.parent.parent} -o run.name={here.name}"
    )
