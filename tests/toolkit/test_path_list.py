"""Compact lists of paths."""

import os
import pickle
from pathlib import Path

import pytest

from ssl_host.toolkit.path_list import PathList


@pytest.mark.parametrize(
    "paths", [[], [""], ["a"], ["a", "b/ü", os.fsdecode(b"\xff"), "", "c d"], [Path("x"), "y"]]
)
def test_path_list_returns_its_paths(paths):
    expected = [str(path) if isinstance(path, Path) else path for path in paths]
    found = pickle.loads(pickle.dumps(PathList(paths)))
    assert len(found) == len(expected)
    assert list(found) == expected
    assert [found[i] for i in range(len(found))] == expected
    assert [found[i - len(found)] for i in range(len(found))] == expected
    with pytest.raises(IndexError):
        found[len(found)]
