"""``ssl-host config``."""

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

file_argument = click.argument("config_file", metavar="CONFIG", type=click.Path(path_type=Path))


@click.group()
def config() -> None:
    """Check and show configurations."""


@config.command()
@file_argument
@override_option
@session_options
@pass_session
def check(session: Session, config_file: Path, options: tuple[str, ...]) -> None:
    """Find everything that is wrong with CONFIG, a run's or a suite's, without running it.

    Every part is built, no image is read.
    """
    from ssl_host.compose import compose  # noqa: PLC0415 - start-up is counted
    from ssl_host.config.resolve import resolve_file  # noqa: PLC0415

    resolved = resolve_file(config_file, options, session.catalog())
    compose(resolved)
    for note in resolved.notes:
        click.echo(f"note: {note}")
    click.echo(f"{config_file}: valid, run '{resolved.run.name}'")


@config.command()
@file_argument
@override_option
@click.option("--describe", is_flag=True, help="Say what each value means.")
@json_option
@session_options
@pass_session
def show(
    session: Session, config_file: Path, options: tuple[str, ...], describe: bool, as_json: bool
) -> None:
    """Print every value of CONFIG and where it came from."""
    from ssl_host.config.resolve import resolve_file  # noqa: PLC0415 - start-up is counted
    from ssl_host.config.show import lines, rows  # noqa: PLC0415

    resolved = resolve_file(config_file, options, session.catalog())
    if as_json:
        echo_json(list(rows(resolved)))
    else:
        for line in lines(resolved, describe):
            click.echo(line)


@config.command()
@file_argument
@session_options
@pass_session
def convert(session: Session, config_file: Path) -> None:
    """Print CONFIG, a file of the older project, in today's form, comments kept."""
    from ssl_host.config.convert import convert as converted  # noqa: PLC0415 - start-up is counted

    click.echo(converted(config_file, session.catalog()), nl=False)
