"""The command ``ssl-host benchmark``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ssl_host import (
    RunError,
    Session,
    echo_json,
    json_option,
    override_option,
    pass_session,
    session_options,
)

if TYPE_CHECKING:
    from ssl_plugin_benchmark.runs import RunOutcome
    from ssl_plugin_benchmark.suite import Suite, SuiteRun


@click.command()
@click.argument("suite_file", metavar="SUITE", type=click.Path(path_type=Path))
@override_option
@click.option("--fresh", is_flag=True, help="Start every run from scratch.")
@click.option("--dry-run", is_flag=True, help="Only check every run and build its networks.")
@click.option("--table", "table_only", is_flag=True, help="Only write the table of finished runs.")
@json_option
@session_options
@pass_session
def benchmark(
    session: Session,
    suite_file: Path,
    options: tuple[str, ...],
    fresh: bool,
    dry_run: bool,
    table_only: bool,
    as_json: bool,
) -> None:
    """Compare methods: run every combination of a SUITE file and write one table.

    A SUITE file names methods, seeds and other axes. The same command resumes an interrupted suite.
    If a run fails, the others continue; failed runs are listed at the end.
    """
    from ssl_plugin_benchmark.benchmark import (  # noqa: PLC0415 - imports torch
        check_suite,
        run_suite,
        tabulate_suite,
    )
    from ssl_plugin_benchmark.output import to_json, to_markdown  # noqa: PLC0415
    from ssl_plugin_benchmark.suite import read_suite  # noqa: PLC0415

    suite = read_suite(suite_file, options, session.catalog())
    if dry_run:
        for name, parameters in check_suite(suite):
            click.echo(f"{name}: {parameters:,} parameters")
        return
    if table_only:
        result = tabulate_suite(suite)
    else:
        result = run_suite(suite, fresh, _ProgressPrinter(len(suite.runs)))
    if as_json:
        echo_json(to_json(result.table, result.outcomes))
        session.json = False  # errors are in this document; a second one would not be valid JSON
    else:
        click.echo(to_markdown(result.table), nl=False)
        click.echo(f"\nwritten: {suite.folder / 'table.html'}, table.md, table.csv, benchmark.json")
    if result.without_results and not table_only:
        raise RunError(_failure_message(suite, result.without_results))


class _ProgressPrinter:
    """Callback that prints a line to stderr when a run ends."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.count = 0

    def __call__(self, outcome: RunOutcome) -> None:
        from ssl_plugin_benchmark.output import describe_outcome  # noqa: PLC0415 - imports torch

        self.count += 1
        line = f"[{self.count}/{self.total}] {outcome.run.name}: {describe_outcome(outcome)}"
        click.echo(line, err=True)


def _failure_message(suite: Suite, failed: list[SuiteRun]) -> str:
    """Return a message that lists the log files of failed runs, without their errors."""
    from ssl_plugin_benchmark.runs import log_path  # noqa: PLC0415 - imports torch

    logs = "\n".join(f"  {run.name}: {log_path(suite, run)}" for run in failed)
    return (
        f"{len(failed)} of {len(suite.runs)} runs failed; "
        f"run the same command again to retry them:\n{logs}"
    )
