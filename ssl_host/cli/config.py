"""``ssl-host config``: check and show configurations."""

from __future__ import annotations

from pathlib import Path

import click

from ssl_host.cli.groups import CommandGroup
from ssl_host.cli.options import (
    Session,
    echo_json,
    json_option,
    override_option,
    pass_session,
    session_options,
)

file_argument = click.argument("config_file", metavar="CONFIG", type=click.Path(path_type=Path))


@click.group(cls=CommandGroup)
def config() -> None:
    """Check and show configurations."""


@config.command()
@file_argument
@override_option
@session_options
@pass_session
def check(session: Session, config_file: Path, options: tuple[str, ...]) -> None:
    """Report all errors in the file CONFIG without starting a run.

    This builds every network and component but does not read any images.
    """
    from ssl_host.config.ini import read_config_text  # noqa: PLC0415 - for a fast start
    from ssl_host.config.resolve import resolve_file  # noqa: PLC0415
    from ssl_host.pipeline.config_check import compose_and_check  # noqa: PLC0415
    from ssl_host.preflight import config_warnings  # noqa: PLC0415

    catalog = session.catalog()
    lines = catalog.call(
        "check_config",
        path=config_file,
        text=read_config_text(config_file),
        options=options,
        catalog=catalog,
    )
    if lines is None:
        resolved = resolve_file(config_file, options, catalog)
        experiment = compose_and_check(resolved)
        lines = [
            *(f"note: {note}" for note in (*resolved.notes, *experiment.notes)),
            *(f"warning: {text}" for text in config_warnings(resolved, experiment.method)),
            f"{config_file}: valid, run '{resolved.run.name}'",
        ]
    for line in lines:
        click.echo(line)


@config.command()
@file_argument
@override_option
@click.option("--describe", is_flag=True, help="Also print the description of each setting.")
@json_option
@session_options
@pass_session
def show(
    session: Session, config_file: Path, options: tuple[str, ...], describe: bool, as_json: bool
) -> None:
    """Print every value of the configuration in the file CONFIG and where it comes from."""
    from ssl_host.config.display import config_lines, config_rows  # noqa: PLC0415 - for a fast start
    from ssl_host.config.resolve import resolve_file  # noqa: PLC0415

    resolved = resolve_file(config_file, options, session.catalog())
    if as_json:
        echo_json(list(config_rows(resolved)))
    else:
        for line in config_lines(resolved, describe):
            click.echo(line)
