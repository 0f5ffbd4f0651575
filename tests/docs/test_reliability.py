"""The table of faults names tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "reliability.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "`" in line]


@pytest.mark.parametrize("row", ROWS)
def test_the_row_names_a_test_that_exists(row):
    """Seen to fail with a test renamed."""
    found = re.search(r"\| `([\w./-]+)::(\w+)` \|$", row)
    assert found is not None, row
    file = ROOT / found[1] if found[1].startswith("plugins/") else ROOT / "tests" / found[1]
    assert re.search(rf"^def {found[2]}\(", file.read_text("utf-8"), re.MULTILINE), row


def test_there_are_many_of_them():
    assert len(ROWS) > 30
