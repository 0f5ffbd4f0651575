"""The command ``ssl-host data pack``, which packs images into FFCV files."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ssl_host import (
    Session,
    available_cores,
    component_options,
    format_value,
    pass_session,
    session_options,
)

if TYPE_CHECKING:
    from ssl_plugin_ffcv.packing import ProgressCallback
    from ssl_plugin_ffcv.sidecar import PackInfo


@click.command()
@click.argument("paths", metavar="[IN] OUT.beton", nargs=-1, required=True)
@click.option("--data", metavar="NAME", help="Data source to pack; default: imagefolder.")
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Setting of the data source; may be repeated.",
)
@click.option(
    "--size",
    type=click.IntRange(4, 8192),
    help="Height and width of the packed images in pixels; default: depends on the data source.",
)
@click.option("--quality", type=click.IntRange(1, 100), help="JPEG quality; default: 90.")
@click.option("--raw", is_flag=True, help="Store uncompressed pixels instead of JPEG.")
@click.option(
    "--workers", type=click.IntRange(1, 1024), help="Threads to use; default: one per core."
)
@click.option("--force", is_flag=True, help="Replace OUT.beton and the files that belong to it.")
@session_options
@pass_session
def pack(
    session: Session,
    paths: tuple[str, ...],
    data: str | None,
    options: tuple[str, ...],
    size: int | None,
    quality: int | None,
    raw: bool,
    workers: int | None,
    force: bool,
) -> None:
    """Pack the images of the folder IN, or of a data source, into OUT.beton.

    All images are resized to one size and, without --raw, compressed as JPEG. Training images are
    written to OUT.beton, and held-out images to OUT.test.beton. If the training images have no
    labels, labelled images for probes are written to OUT.probe.beton. OUT.json describes all these
    files. `[data] name = ffcv` reads them.
    """
    if len(paths) > 2 or (len(paths) == 1 and data is None):
        raise click.UsageError(
            "give a folder of images and OUT.beton, or --data NAME and OUT.beton"
        )
    if raw and quality is not None:
        raise click.UsageError("--raw stores uncompressed pixels; remove --quality")
    name = data or "imagefolder"
    schema = session.catalog().load("data", name).Config
    settings = component_options("data", schema, options)
    if len(paths) == 2:
        settings.setdefault("root", paths[0])
    from ssl_plugin_ffcv import packing  # noqa: PLC0415 - imports torch

    request = packing.PackOptions(
        name,
        settings,
        size,
        None if raw else quality or packing.QUALITY,
        workers or available_cores(),
        force,
    )
    out = Path(paths[-1])
    with _progress_bars() as show_progress, _stop_on_sigterm(show_progress) as report:
        info = packing.pack(out, request, report)
    _print_summary(out, info)


@contextmanager
def _stop_on_sigterm(report: ProgressCallback) -> Iterator[ProgressCallback]:
    """Handle SIGTERM like Ctrl-C, so no incomplete file is left when a scheduler stops the job.

    This context manager yields a callback to use in place of ``report``. The callback raises
    KeyboardInterrupt between two images, because an exception raised by the signal handler itself
    could be lost in compiled code.
    """
    requested = threading.Event()

    def report_or_stop(split: str, done: int, total: int) -> None:
        if requested.is_set():
            raise KeyboardInterrupt
        report(split, done, total)

    previous = signal.signal(signal.SIGTERM, lambda *_: requested.set())
    try:
        yield report_or_stop
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def _progress_bars() -> Iterator[ProgressCallback]:
    """Context manager that yields a progress callback; it draws bars if stderr is a terminal."""
    from rich.console import Console  # noqa: PLC0415 - for a fast start
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

        def report(split: str, done: int, total: int) -> None:
            if split not in tasks:
                tasks[split] = bar.add_task(split, total=total)
            bar.update(tasks[split], completed=done)

        yield report


def _print_summary(out: Path, info: PackInfo) -> None:
    """Print the written files, the skipped images, and the configuration that reads the files."""
    from ssl_plugin_ffcv.sidecar import sidecar_file, split_file  # noqa: PLC0415 - for a fast start

    encoding = "uncompressed" if info.quality is None else f"JPEG of quality {info.quality}"
    for name, split in info.splits.items():
        file = os.path.relpath(split_file(out, name))
        size = f"{split.bytes / 2**20:.1f} MB"
        click.echo(f"{file}: {len(split.names)} images of {info.side} pixels, {encoding}, {size}")
    for kind, texts in (("warning", info.warnings), ("note", info.notes)):
        for text in texts:
            click.echo(f"{kind}: {text}", err=True)
    skipped = [missing for split in info.splits.values() for missing in split.skipped]
    if skipped:
        total = sum(split.total for split in info.splits.values())
        first = "; ".join(f"{each.name}: {each.reason}" for each in skipped[:3])
        more = "; ..." if len(skipped) > 3 else ""
        listing = os.path.relpath(sidecar_file(out))
        click.echo(
            f"{len(skipped)} of {total} images could not be read ({first}{more}); {listing} lists "
            "the skipped images"
        )
    click.echo(f"\n[data]\nname = ffcv\npath = {format_value(os.path.relpath(out), Path)}")
    for section, values in info.recipe.items():
        click.echo("\n".join([f"\n[{section}]", *(f"{k} = {v}" for k, v in values.items())]))
