"""``ssl-host evaluate``: evaluate the backbone of a finished run again."""

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


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@override_option
@json_option
@session_options
@pass_session
def evaluate(session: Session, run: Path, options: tuple[str, ...], as_json: bool) -> None:
    """Evaluate the backbone in the run folder RUN again, optionally with different settings.

    Change settings with -o, such as -o evaluator.linear.epochs=20. The command rewrites
    results.json and report.html.
    """
    from ssl_host.pipeline.finished_runs import evaluate_run  # noqa: PLC0415
    from ssl_host.report.summary import summary_tables  # noqa: PLC0415
    from ssl_host.toolkit.console import make_console  # noqa: PLC0415 - these import torch

    outcome = evaluate_run(run, options, session.catalog(), make_console(stderr=True))
    if as_json:
        echo_json(outcome.results)
        return
    make_console().print(summary_tables(outcome.results, outcome.printed))
