"""The commands ``ssl-host init`` and ``ssl-host data describe``."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ssl_host import (
    Session,
    echo_json,
    json_option,
    make_console,
    override_option,
    pass_session,
    session_options,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from ssl_host import ImageDataset
    from ssl_plugin_init.description import DataDescription
    from ssl_plugin_init.image_statistics import ImageStatistics

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class _Duration(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Parameter type of a time such as ``45s``, ``15m``, ``1h`` or ``1h30m``, in seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd])", value.lower())
        if not parts or "".join(f"{n}{u}" for n, u in parts) != re.sub(r"\s", "", value.lower()):
            self.fail(f"{value!r} is not a time such as 45s, 15m, 1h or 1h30m", param, ctx)
        return sum(float(number) * _UNITS[unit] for number, unit in parts)


images_argument = click.argument("images", metavar="IMAGES", type=click.Path(path_type=Path))
data_option = click.option(
    "--data", "source", metavar="NAME", help="Data source that reads IMAGES; default: by its kind."
)
sample_option = click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Largest number of images to read; default: 20,000, evenly spaced.",
)


@click.command()
@images_argument
@data_option
@override_option
@sample_option
@click.option(
    "--page", type=click.Path(path_type=Path, dir_okay=False), help="Also write an HTML page."
)
@json_option
@session_options
@pass_session
def describe(
    session: Session,
    images: Path,
    source: str | None,
    options: tuple[str, ...],
    sample: int | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Describe IMAGES: a folder, a CSV file, shards or another file that a data source reads.

    Shows numbers, sizes, colours, labels, groups of similar names, identical images, unreadable
    images, and what to do about them. Settings of the data source: ``-o data.KEY=VALUE``.
    """
    from ssl_plugin_init.presentation import description_page, description_table  # noqa: PLC0415

    console = make_console(stderr=True)
    if page is not None:
        _require_folder(page)
    data, read = _describe(session, images, source, options, sample, console)
    if page is not None:
        _write(page, description_page(data, read, images.resolve().name))
    if as_json:
        echo_json(data.as_dict())
        return
    make_console().print(description_table(data))
    if page is not None:
        click.echo(f"page: {page}")


@click.command()
@images_argument
@click.option("-m", "--method", metavar="NAME", help="Method; default: one for few images.")
@click.option(
    "--time", "budget", type=_Duration(), default=900.0, help="Time for the run; default: 15m."
)
@click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("config.ini"),
    help="File to write; default: config.ini.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@data_option
@override_option
@sample_option
@json_option
@session_options
@pass_session
def init(
    session: Session,
    images: Path,
    method: str | None,
    budget: float,
    config_file: Path,
    force: bool,
    source: str | None,
    options: tuple[str, ...],
    sample: int | None,
    as_json: bool,
) -> None:
    """Write a configuration for pretraining on IMAGES, a folder or another source of images.

    Looks at the images, times a few training steps on this machine, and chooses backbone, image
    size, batch size, epochs, learning rate and evaluators for the time. The file says why.
    """
    from ssl_plugin_init.init import default_name, format_time, propose  # noqa: PLC0415

    if config_file.exists() and not force:
        raise click.UsageError(
            f"{config_file} exists; choose another file with -c, or replace it with --force"
        )
    _require_folder(config_file)
    console = make_console(stderr=True)
    data, _ = _describe(session, images, source, options, sample, console)
    proposal = propose(
        data,
        method=method,
        budget_s=budget,
        name=default_name(images),
        folder=config_file.parent,
        progress=lambda text: console.print(text, style="dim"),
    )
    _write(config_file, proposal.text)
    if as_json:
        warning = proposal.warning
        echo_json({"config": str(config_file), "sections": proposal.sections, "warning": warning})
        return
    if proposal.warning is not None:
        console.print(f"warning: {proposal.warning}", style="yellow", soft_wrap=True)
    click.echo(
        f"written: {config_file}; training takes about "
        f"{format_time(60 * proposal.training_minutes)}\nnext: ssl-host run {config_file}"
    )


def _describe(
    session: Session,
    images: Path,
    name: str | None,
    options: tuple[str, ...],
    sample: int | None,
    console: Console,
) -> tuple[DataDescription, list[tuple[ImageDataset, ImageStatistics]]]:
    """Describe the images of a command with a progress bar."""
    from ssl_plugin_init.description import MAX_IMAGES, describe_source  # noqa: PLC0415
    from ssl_plugin_init.sources import open_source  # noqa: PLC0415 - imports torch

    source, name = open_source(images, name, options, session.catalog())
    with _progress_bar(console, "reading images") as advance:
        return describe_source(source, name, limit=sample or MAX_IMAGES, progress=advance)


def _require_folder(file: Path) -> None:
    """Raise UsageError if the folder of a file to write does not exist, before images are read."""
    if not file.parent.is_dir():
        raise click.UsageError(f"{file}: there is no folder {file.parent}; make it first")


def _write(file: Path, text: str) -> None:
    """Write a text file; raise UsageError if this is not possible."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}") from None


@contextmanager
def _progress_bar(console: Console, text: str) -> Iterator[Any]:
    """Yield a function that shows the number of images that have been read."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = [TextColumn(text), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda count: progress.advance(task, count)
