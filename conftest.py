"""What saves time in the tests of the host and of all plugins."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import wraps

import pytest

from ssl_host.catalog import catalog, discovery
from ssl_host.catalog.catalog import Catalog


@pytest.fixture(scope="session", autouse=True)
def plugins_found_once():
    """Copy a catalog of the plugins in this environment instead of finding them again.

    Finding them takes a tenth of a second, longer than many tests. With other folders on
    ``sys.path``, as for a plugin that a test has installed, they are found again.
    """
    initialise, search_path = Catalog.__init__, list(sys.path)
    found: dict[object, Catalog] = {}

    @wraps(initialise)
    def copy(new, blocked=()):
        blocked = tuple(blocked)
        if sys.path != search_path or catalog.discover is not discovery.discover:
            initialise(new, blocked)
            return
        key = (blocked, os.environ.get(discovery.DISABLE_VARIABLE))
        if key not in found:
            found[key] = Catalog.__new__(Catalog)
            initialise(found[key], blocked)
        for name, value in vars(found[key]).items():
            setattr(new, name, value.copy())
        new.plugins = [replace(p, components=[*p.components]) for p in new.plugins]

    patch = pytest.MonkeyPatch()
    patch.setattr(Catalog, "__init__", copy)
    yield
    patch.undo()
