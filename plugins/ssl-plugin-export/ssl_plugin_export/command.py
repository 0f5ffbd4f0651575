"""The command ``ssl-host export``."""

from __future__ import annotations

from pathlib import Path

import click

from ssl_host import Session, pass_session, session_options


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--to",
    required=True,
    metavar="FORMAT",
    help="onnx, huggingface, the library of the backbone (timm or torchvision), or the name of "
    "any installed exporter.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder to write; default: export/FORMAT in the run's folder.",
)
@click.option("--force", is_flag=True, help="Replace the files of an earlier export.")
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a setting of the exporter; may be repeated.",
)
@session_options
@pass_session
def export(
    session: Session,
    run: Path,
    to: str,
    output: Path | None,
    force: bool,
    options: tuple[str, ...],
) -> None:
    """Export the backbone of the run folder RUN to another program, with a model card.

    The other program computes the same features. The card describes how to load the backbone, its
    input and its metrics. Exported weights can also be used in [run] init_from.
    """
    from ssl_plugin_export.export import export_run  # noqa: PLC0415 - imports torch

    for file in export_run(run, to, session.catalog(), output, force, options):
        click.echo(file)
