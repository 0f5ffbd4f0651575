"""Open the data source that reads a folder or file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ssl_host import Catalog, DataSource, UserError, build, component_options, find_source
from ssl_plugin_init.description import MAX_IMAGES, DataDescription, describe_source


def describe(
    images: str | Path,
    *,
    data: str | None = None,
    options: Sequence[str] = (),
    limit: int = MAX_IMAGES,
) -> DataDescription:
    """Describe the images of a folder or file, as ``ssl-host data describe`` does.

    Args:
        images: a folder, a CSV file, shards or another file that a data source reads.
        data: name of the data source; None to choose it by the kind of the path.
        options: settings of the source of the form ``key=value``.
        limit: largest number of images to read; of more images an evenly spaced sample is read.

    Raises:
        UserError: if no source reads the path, or a setting is wrong.
        DataError: if there are no images.
    """
    source, name = open_source(Path(images), data, options, Catalog())
    return describe_source(source, name, limit=limit)[0]


def open_source(
    path: Path, name: str | None, options: Sequence[str], catalog: Catalog
) -> tuple[DataSource, str]:
    """Return the data source that reads a folder or file, and its name.

    Args:
        path: the folder or file.
        name: name of the data source; None to choose it by the kind of the path.
        options: settings of the source of the form ``data.key=value`` or ``key=value``.
        catalog: the catalog of installed data sources.

    Raises:
        UserError: if no source reads the path, or a setting is wrong.
    """
    path = path.resolve()
    if name is None:
        name, settings = find_source(path, catalog)
    else:
        found = catalog.load("data", name).settings_for_path(path)
        if found is None and not options:
            raise UserError(
                f"data source {name} does not say which setting takes {path}; set it with "
                f"-o data.KEY={path}"
            )
        settings = dict(found or {})
    schema = catalog.load("data", name).Config
    settings |= component_options("data", schema, options)
    source: DataSource = build("data", name, **settings)
    return source, name
