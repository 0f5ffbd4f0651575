"""The command ``ssl-host config convert``."""

from __future__ import annotations

from pathlib import Path

import click

from ssl_host import Session, pass_session, session_options


@click.command()
@click.argument("config_file", metavar="CONFIG", type=click.Path(path_type=Path))
@session_options
@pass_session
def convert(session: Session, config_file: Path) -> None:
    """Print CONFIG, a Lightweight-SSL configuration, as an ssl-host configuration.

    Comments are kept. Notes about keys that have no effect are added as comments at the top.
    """
    from ssl_plugin_lightweight_ssl.convert import convert_file  # noqa: PLC0415 - for a fast start

    click.echo(convert_file(config_file, session.catalog()), nl=False)
