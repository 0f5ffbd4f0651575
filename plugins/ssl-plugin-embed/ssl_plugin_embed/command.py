"""The command ``ssl-host embed``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ssl_host import Session, echo_json, json_option, pass_session, pluralize, session_options

if TYPE_CHECKING:
    from ssl_host import Backbone
    from ssl_plugin_embed.embedding import Embedding, ProgressCallback


@click.command("embed")
@click.argument("images", metavar="IMAGES...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="Run folder, exported folder or weights file of the backbone.",
)
@click.option("--backbone", metavar="NAME", help="Backbone with pretrained weights, such as timm.")
@click.option(
    "--to",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write: .parquet, .npy or .safetensors.",
)
@click.option("--data", metavar="NAME", help="Data source; default: found by the path.")
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Setting of the backbone, such as model=resnet50, or of the data source, such as "
    "data.labelled=false; may be repeated.",
)
@click.option(
    "--tokens",
    is_flag=True,
    help="Write patch tokens (N, T, D), not features (N, D); not for .parquet.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    help="Number type of the file; float16 halves its size.",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=256, help="Images in a batch.")
@click.option(
    "--image-size",
    type=click.IntRange(8, 8192),
    help="Input size of --backbone in pixels; default: 224.",
)
@click.option("--device", metavar="NAME", help="Torch device; default: a GPU if there is one.")
@click.option("--fresh", is_flag=True, help="Start from the beginning, and replace FILE.")
@json_option
@session_options
@pass_session
def embed_command(
    session: Session,
    /,
    images: tuple[Path, ...],
    run: Path | None,
    backbone: str | None,
    options: tuple[str, ...],
    image_size: int | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Write the features of IMAGES to one file, with their paths, splits, labels and classes.

    IMAGES are folders, CSV files, image files, shards, or patterns of shards such as
    train-{000..003}.tar: what the installed data sources read. Images are prepared as in the run
    of the backbone. Those that cannot be read have no row and are listed. The same command
    continues after an interruption.
    """
    if (run is None) == (backbone is None):
        raise click.UsageError("give either --run RUN or --backbone NAME")
    if image_size is not None and backbone is None:
        raise click.UsageError("--image-size is for --backbone; a run has its own size")
    data_options = tuple(option for option in options if option.startswith("data."))
    network_options = tuple(option for option in options if option not in data_options)
    if network_options and backbone is None:
        raise click.UsageError(
            f"-o {network_options[0]}: the backbone of a run has its own settings; settings of the "
            "data source begin with data."
        )
    from ssl_host import load_backbone  # noqa: PLC0415 - imports torch
    from ssl_plugin_embed.embedding import embed  # noqa: PLC0415
    from ssl_plugin_embed.networks import build_backbone  # noqa: PLC0415

    catalog = session.catalog()
    notes: list[str] = []
    network: Backbone
    if backbone is None:
        assert run is not None
        network = load_backbone(run, catalog)
    else:
        network, notes = build_backbone(backbone, network_options, catalog, image_size)
    with _progress_bar() as progress:
        result = embed(
            images,
            network,
            settings.pop("to"),
            options=data_options,
            catalog=catalog,
            progress=progress,
            **settings,
        )
    for note in (*notes, *result.notes):
        click.echo(f"note: {note}", err=True)
    if result.unreadable:
        click.echo(_unreadable_message(result), err=True)
    if as_json:
        echo_json(result.as_dict())
    else:
        click.echo(_summary(result))


def _summary(result: Embedding) -> str:
    """Return a line about the written file."""
    count, *sizes = result.shape
    kind = "features" if len(sizes) == 1 else "patch tokens"
    shape = " x ".join(map(str, sizes))
    speed = "was complete already; --fresh computes it again"
    if result.images_per_s is not None:
        speed = f"{result.images_per_s:.0f} images/s"
    rows = "" if result.rows_file is None else f", rows in {os.path.relpath(result.rows_file)}"
    return (
        f"{os.path.relpath(result.file)}: {kind} of {pluralize(count, 'image')}, {shape} "
        f"{result.dtype} each{rows}; {speed}"
    )


def _unreadable_message(result: Embedding) -> str:
    """Return a warning about the images without a row."""
    first = "; ".join(f"{path}: {reason}" for path, reason in result.unreadable[:3])
    more = "; ..." if len(result.unreadable) > 3 else ""
    return (
        f"warning: {len(result.unreadable)} of {result.num_images} images could not be read and "
        f"have no row ({first}{more}); {os.path.relpath(result.file)}.json lists them"
    )


@contextmanager
def _progress_bar() -> Iterator[ProgressCallback]:
    """Yield a progress callback, which draws a bar if stderr is a terminal."""
    from rich.console import Console  # noqa: PLC0415 - for a fast start
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("images", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
