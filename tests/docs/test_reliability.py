"""The tables of the reliability page name existing tests."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "reliability.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "`" in line]


@pytest.mark.parametrize("row", ROWS)
def test_table_row_names_an_existing_test(row):
    match = re.search(r"\| `([\w./-]+)::(\w+)` \|$", row)
    assert match is not None, row
    file = ROOT / match[1] if match[1].startswith("plugins/") else ROOT / "tests" / match[1]
    assert re.search(rf"^def {match[2]}\(", file.read_text("utf-8"), re.MULTILINE), row


def test_table_has_many_rows():
    assert len(ROWS) > 30
