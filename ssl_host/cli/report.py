"""``ssl-host report`` and ``compare``: write the page of one run, or one about several runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ssl_host.cli.options import (
    Session,
    echo_json,
    json_option,
    pass_session,
    session_options,
)

if TYPE_CHECKING:
    from ssl_host.pipeline.finished_runs import WrittenReport

runs_argument = click.argument(
    "runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
output_option = click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for the page that compares several runs; default: comparison.html.",
)


@click.command()
@runs_argument
@output_option
@json_option
@session_options
@pass_session
def report(session: Session, runs: tuple[Path, ...], output: Path | None, as_json: bool) -> None:
    """Rewrite report.html in the run folder RUN, or compare several runs, as compare does.

    The command prints which epoch of the run the measures without labels would choose, if the run
    was evaluated during training, and last the path of the page.
    """
    runs = _distinct(runs)
    if len(runs) > 1:
        _compare(session, runs, output, as_json)
        return
    if output is not None:
        raise click.UsageError(
            "--output is for the page that compares several runs; give two or more runs"
        )
    from ssl_host.pipeline.finished_runs import write_run_report  # noqa: PLC0415 - imports torch

    _show(write_run_report(runs[0], session.catalog()), as_json)


@click.command()
@runs_argument
@output_option
@json_option
@session_options
@pass_session
def compare(session: Session, runs: tuple[Path, ...], output: Path | None, as_json: bool) -> None:
    """Rank finished runs by measures that need no labels, and compare them on one page.

    The page is a single HTML file with a sortable table of the metrics, a chart of all training
    curves, the differences between the configurations, and the nearest neighbours of the same
    images in each run.

    The command prints the ranks of the runs by measures without labels, such as rankme, the epochs
    of each run that they would choose, and last the path of the page.
    """
    if len(runs) == 1:
        raise click.UsageError(
            f"{runs[0]} is a single run; give two or more runs, or use ssl-host report {runs[0]}"
        )
    _compare(session, _distinct(runs), output, as_json)


def _distinct(runs: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the runs without repetitions.

    Raises:
        click.UsageError: if several paths are all the same run.
    """
    distinct = tuple({run.resolve(): run for run in runs}.values())
    if len(distinct) == 1 < len(runs):
        raise click.UsageError(
            f"{runs[0]} and {runs[-1]} are the same run; give different runs to compare them, or "
            "one run to write its report"
        )
    return distinct


def _compare(session: Session, runs: tuple[Path, ...], output: Path | None, as_json: bool) -> None:
    """Write a page that compares different runs, and print their ranks."""
    from ssl_host.pipeline.finished_runs import compare_runs  # noqa: PLC0415 - imports torch

    if output is not None and output.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(
            f"--output {output}: the report is HTML; use a name that ends in .html"
        )
    page = output or Path("comparison.html")
    _show(compare_runs(runs, page, session.catalog()), as_json)


def _show(written: WrittenReport, as_json: bool) -> None:
    """Print the ranks and epochs that measures without labels choose, and the path of the page."""
    from ssl_host.report.ranking import ranking_tables  # noqa: PLC0415
    from ssl_host.toolkit.console import make_console  # noqa: PLC0415 - these import torch

    for reason in written.skipped:
        click.echo(f"warning: skipped: {reason}", err=True)
    if as_json:
        echo_json({**written._asdict(), "ranking": written.ranking.as_dict()})
        return
    if written.ranking.remarks:
        make_console().print(ranking_tables(written.ranking))
    click.echo(written.page)
