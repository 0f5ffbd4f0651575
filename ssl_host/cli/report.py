"""``ssl-host report``: write the report of one run, or a page that compares several runs."""

from __future__ import annotations

from pathlib import Path

import click

from ssl_host.cli.options import (
    Session,
    echo_json,
    json_option,
    pass_session,
    session_options,
)


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for the page that compares several runs; default: comparison.html.",
)
@json_option
@session_options
@pass_session
def report(session: Session, runs: tuple[Path, ...], output: Path | None, as_json: bool) -> None:
    """Rewrite report.html in the run folder RUN, or write one page that compares several runs.

    The comparison is a single HTML file with a sortable table of the metrics, a chart of all
    training curves, the differences between the configurations, and the nearest neighbours of
    the same images in each run.

    The command prints the ranks of the runs by measures without labels, such as rankme, the epochs
    of each run that they would choose, and last the path of the page.
    """
    from ssl_host.pipeline.finished_runs import compare_runs, write_run_report  # noqa: PLC0415
    from ssl_host.report.ranking import ranking_tables  # noqa: PLC0415
    from ssl_host.toolkit.console import make_console  # noqa: PLC0415 - these import torch

    distinct = tuple({run.resolve(): run for run in runs}.values())
    if len(distinct) == 1 < len(runs):
        raise click.UsageError(
            f"{runs[0]} and {runs[-1]} are the same run; give different runs to compare them, or "
            "one run to write its report"
        )
    runs = distinct
    if len(runs) == 1 and output is not None:
        raise click.UsageError(
            "--output is for the page that compares several runs; give two or more runs"
        )
    if output is not None and output.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(
            f"--output {output}: the report is HTML; use a name that ends in .html"
        )
    if len(runs) == 1:
        written = write_run_report(runs[0], session.catalog())
    else:
        written = compare_runs(runs, output or Path("comparison.html"), session.catalog())
    for reason in written.skipped:
        click.echo(f"warning: skipped: {reason}", err=True)
    if as_json:
        echo_json({**written._asdict(), "ranking": written.ranking.as_dict()})
        return
    if written.ranking.remarks:
        make_console().print(ranking_tables(written.ranking))
    click.echo(written.page)
