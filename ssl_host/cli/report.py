"""``ssl-host report``."""

from __future__ import annotations

from pathlib import Path

import click

from ssl_host.cli.options import Session, pass_session, session_options


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@session_options
@pass_session
def report(session: Session, runs: tuple[Path, ...]) -> None:
    """Write report.html of each run folder RUN again, from what the folder holds."""
    from ssl_host.pipeline.again import report_again  # noqa: PLC0415 - torch comes with it

    for run in runs:
        click.echo(report_again(run, session.catalog()))
