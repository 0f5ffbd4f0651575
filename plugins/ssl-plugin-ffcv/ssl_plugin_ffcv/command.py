"""``ssl-host data pack``."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ssl_host import available_cores

if TYPE_CHECKING:
    from ssl_plugin_ffcv.packing import Tell
    from ssl_plugin_ffcv.sidecar import About


def add_to(cli: click.Group) -> None:
    """Add ``data pack``; the group may be there already, of another plugin."""
    group = cli.commands.get("data")
    if not isinstance(group, click.Group):
        group = click.Group("data", help="Prepare data sets.")
        cli.add_command(group)
    group.add_command(pack)


@click.command()
@click.argument("places", metavar="[IN] OUT.beton", nargs=-1, required=True)
@click.option("--data", metavar="NAME", help="Data source to pack; default: imagefolder.")
@click.option(
    "-o", "options", multiple=True, metavar="KEY=VALUE", help="A setting of the data source."
)
@click.option(
    "--size",
    type=click.IntRange(4, 8192),
    help="Side in pixels that every image is fitted to; default: what suits the source.",
)
@click.option("--quality", type=click.IntRange(1, 100), help="Of the JPEGs; default: 90.")
@click.option("--raw", is_flag=True, help="Keep every pixel: no compression.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Threads; default: one a core.")
@click.option("--force", is_flag=True, help="Overwrite OUT.beton and the files beside it.")
def pack(
    places: tuple[str, ...],
    data: str | None,
    options: tuple[str, ...],
    size: int | None,
    quality: int | None,
    raw: bool,
    workers: int | None,
    force: bool,
) -> None:
    """Pack the images in the folder IN, or of a data source, into OUT.beton.

    Images are fitted to one size, JPEG-compressed and written to OUT.beton, held-out ones to
    OUT.test.beton; OUT.json says what is inside. `[data] name = ffcv` reads them.
    """
    if len(places) > 2 or (len(places) == 1 and data is None):
        raise click.UsageError(
            "name a folder of images and OUT.beton, or --data NAME and OUT.beton"
        )
    if raw and quality is not None:
        raise click.UsageError("--raw keeps every pixel, so there is no --quality")
    settings = dict(_setting(option) for option in options)
    if len(places) == 2:
        settings.setdefault("root", places[0])
    from ssl_plugin_ffcv import packing  # noqa: PLC0415 - torch comes with it

    wanted = packing.Wanted(
        data or "imagefolder",
        settings,
        size,
        None if raw else quality or packing.QUALITY,
        workers or available_cores(),
        force,
    )
    out = Path(places[-1])
    with _progress() as shown, _stopped_by_sigterm(shown) as tell:
        about = packing.pack(out, wanted, tell)
    _summary(out, about)


def _setting(option: str) -> tuple[str, str]:
    key, sign, value = option.partition("=")
    key = key.strip().removeprefix("data.")
    if not sign or not key:
        raise click.BadParameter(f"{option!r} is not KEY=VALUE", param_hint="-o")
    return key, value.strip()


@contextmanager
def _stopped_by_sigterm(tell: Tell) -> Iterator[Tell]:
    """As Ctrl-C does, so that a scheduler's stop leaves nothing half-written behind.

    Between two images: raised within what others compile or call back, it would be lost there.
    """
    asked = threading.Event()

    def told(split: str, done: int, total: int) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        tell(split, done, total)

    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar a split, on a terminal."""
    from rich.console import Console  # noqa: PLC0415 - start-up is counted
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
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
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:

        def tell(split: str, done: int, total: int) -> None:
            if split not in tasks:
                tasks[split] = bar.add_task(split, total=total)
            bar.update(tasks[split], completed=done)

        yield tell


def _summary(out: Path, about: About) -> None:
    from ssl_plugin_ffcv.sidecar import file_of, sidecar_of  # noqa: PLC0415 - start-up is counted

    kept = "every pixel kept" if about.quality is None else f"JPEG of quality {about.quality}"
    for split, part in about.splits.items():
        name = os.path.relpath(file_of(out, split))
        size = f"{part.bytes / 2**20:.1f} MB"
        click.echo(f"{name}: {len(part.names)} images of {about.side} pixels, {kept}, {size}")
    skipped = [absent for part in about.splits.values() for absent in part.skipped]
    if skipped:
        first = "; ".join(f"{each.name}: {each.reason}" for each in skipped[:3])
        more = "; ..." if len(skipped) > 3 else ""
        listing = os.path.relpath(sidecar_of(out))
        click.echo(f"{len(skipped)} could not be read and are left out ({first}{more}): {listing}")
    click.echo(f"\n[data]\nname = ffcv\npath = {os.path.relpath(out)}")
    for section, values in about.recipe.items():
        click.echo("\n".join([f"\n[{section}]", *(f"{k} = {v}" for k, v in values.items())]))
