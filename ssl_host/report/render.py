"""Render self-contained HTML pages from the templates of the host and of plugins."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ssl_host.toolkit.plurals import pluralize

HOST_PACKAGE = "ssl_host.report"


def render_page(package: str, template: str, /, **values: Any) -> str:
    """Return an HTML page that can be opened offline, rendered from a package's template.

    A template may extend ``base.html``, which has the blocks ``kicker``, ``facts``, ``main`` and
    ``scripts`` and needs the value ``title``. It may include ``sort.js``, which makes tables of
    the class ``sortable`` sortable, ``charts.js``, and ``ranking.html``, which needs the value
    ``ranking``, a :class:`~ssl_host.Ranking`. All values are escaped except ``Markup``;
    an undefined value is an error.

    Args:
        package: name of the Python package whose folder ``templates`` contains the template.
            Templates that are not there are taken from the host.
        template: file name of the template, such as ``table.html``.
        values: variables of the template.
    """
    packages = dict.fromkeys((package, HOST_PACKAGE))
    # Escape everything except Markup, because names of files and classes may contain HTML.
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    environment.filters["counted"] = pluralize
    return environment.get_template(template).render(**values)


def breakable(name: str) -> Markup:
    """Return a name as HTML that can wrap between its words, but not within numbers."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/])(?=[^\W\d_])", name))
