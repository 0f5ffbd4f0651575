"""``ssl-host export``."""

from __future__ import annotations

from pathlib import Path

import click

from ssl_host.cli.options import Session, pass_session, session_options


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--to",
    required=True,
    metavar="FORMAT",
    help="onnx, huggingface, or the library of the backbone: timm or torchvision.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where it is written; default: export/FORMAT in the run's folder.",
)
@click.option("--force", is_flag=True, help="Write over the files of an earlier export.")
@session_options
@pass_session
def export(session: Session, run: Path, to: str, output: Path | None, force: bool) -> None:
    """Write the backbone in the run folder RUN for another program, with a model card.

    It gives there the features it gives here. The card says how it is loaded, what its input is
    and what its figures are worth. Weights so written can be started from: [run] init_from.
    """
    from ssl_host.export.run import export_run  # noqa: PLC0415 - torch comes with it

    for file in export_run(run, to, session.catalog(), output, force):
        click.echo(file)
