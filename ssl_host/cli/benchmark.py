"""``ssl-host benchmark``."""

from __future__ import annotations

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
from ssl_host.errors import RunError


@click.command()
@click.argument("suite_file", metavar="SUITE", type=click.Path(path_type=Path))
@override_option
@click.option("--fresh", is_flag=True, help="Begin every cell anew.")
@click.option("--dry-run", is_flag=True, help="Check every cell and build its networks, no data.")
@click.option("--table", "only_table", is_flag=True, help="Make the table of what there is.")
@json_option
@session_options
@pass_session
def benchmark(
    session: Session,
    suite_file: Path,
    options: tuple[str, ...],
    fresh: bool,
    dry_run: bool,
    only_table: bool,
    as_json: bool,
) -> None:
    """Compare methods by a SUITE file: methods, other axes and seeds, a run each, one table.

    The same command again goes on where it stopped. A cell that fails is named at the end, and
    takes no other down.
    """
    from ssl_host.benchmark.run import check_cells, run_suite, table_of  # noqa: PLC0415
    from ssl_host.benchmark.runs import log_of  # noqa: PLC0415
    from ssl_host.benchmark.suite import read_suite  # noqa: PLC0415
    from ssl_host.benchmark.table import as_json as raw_figures  # noqa: PLC0415
    from ssl_host.benchmark.table import markdown  # noqa: PLC0415
    from ssl_host.toolkit.console import make_console  # noqa: PLC0415 - torch comes with what follows

    suite = read_suite(suite_file, options, session.catalog())
    if dry_run:
        for name, parameters in check_cells(suite):
            click.echo(f"{name}: {parameters:,} parameters")
        return
    done = table_of(suite) if only_table else run_suite(suite, make_console(stderr=True), fresh)
    if as_json:
        echo_json(raw_figures(suite, done.finished))
        session.json = False  # the faults are in it: a second document would make it no JSON
    else:
        click.echo(markdown(done.table), nl=False)
        click.echo(f"\nwritten: {suite.folder / 'table.html'}, table.md, table.csv, benchmark.json")
    if done.failed and not only_table:
        # Why has been told as each of them failed.
        cells = [failed.cell for failed in done.failed]
        listing = "\n".join(f"  {cell.name}: {log_of(suite, cell)}" for cell in cells)
        raise RunError(
            f"{len(done.failed)} of {len(suite.cells)} cells failed; "
            f"the same command tries them again:\n{listing}"
        )
