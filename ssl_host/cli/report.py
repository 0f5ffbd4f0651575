"""``ssl-host report``."""

from __future__ import annotations

from pathlib import Path

import click

from ssl_host.cli.options import Session, pass_session, session_options


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="the page that compares several runs; default: comparison.html",
)
@session_options
@pass_session
def report(session: Session, runs: tuple[Path, ...], output: Path | None) -> None:
    """Write report.html of a run folder RUN again, or one page that compares several RUNs.

    The page stands alone: figures to sort, curves over each other, what differs between the
    configurations, and the nearest neighbours of the same images.
    """
    from ssl_host.pipeline.finished_runs import compare_runs, write_run_report  # noqa: PLC0415 - brings torch

    different = tuple({run.resolve(): run for run in runs}.values())
    if len(different) == 1 < len(runs):
        raise click.UsageError(
            f"{runs[0]} and {runs[-1]} are the same run; give different ones to compare, or it once"
        )
    runs = different
    if len(runs) == 1 and output is not None:
        raise click.UsageError("--output is of a page that compares several runs; give two or more")
    if output is not None and output.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"--output is a page, and {output} does not end with .html")
    if len(runs) == 1:
        click.echo(write_run_report(runs[0], session.catalog()))
    else:
        page, left_out = compare_runs(runs, output or Path("comparison.html"), session.catalog())
        for reason in left_out:
            click.echo(f"warning: left out: {reason}", err=True)
        click.echo(page)
