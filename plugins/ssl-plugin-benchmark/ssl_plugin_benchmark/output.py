"""Format tables of a suite as Markdown, CSV and HTML, and outcomes as JSON and text."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ssl_host import render_page
from ssl_plugin_benchmark.runs import RunOutcome
from ssl_plugin_benchmark.table import Table, TableRow


def to_markdown(table: Table) -> str:
    """Return the table as Markdown, followed by weights, ranks and notes of the runs."""
    lines = [
        _markdown_line([*table.axes, *table.columns.values()]),
        "|" + "---|" * len(table.axes) + "---:|" * len(table.columns),
    ]
    for row in table.rows:
        label, *rest = row.label
        note = f" ({row.note})" if row.note else ""
        cells = [str(row.cells.get(name, "–")) for name in table.columns]
        lines.append(_markdown_line([label + note, *rest, *cells]))
    lines += ["", describe_table(table)]
    linked = [row for row in table.rows if row.links]
    if linked:
        lines += ["", "Weights, by seed:", "", *(_weights_line(row) for row in linked)]
    for title, headings, rows in table.ranking.tables():
        lines += ["", f"{title}, without labels:", "", _markdown_line(headings)]
        lines += ["|" + "---|" * len(headings), *map(_markdown_line, rows)]
    if table.ranking.remarks:
        lines += ["", *(f"- {_escape(remark)}" for remark in table.ranking.remarks)]
    if table.notes:
        lines += ["", "Notes:", "", *(f"- {_escape(note)}" for note in list_notes(table))]
    return "\n".join(lines) + "\n"


def list_notes(table: Table) -> list[str]:
    """Return the notes as text, each with the names of its runs unless all runs have it."""
    return [f"{', '.join(runs)}: {note}" if runs else note for note, runs in table.notes.items()]


def describe_table(table: Table) -> str:
    """Return sentences that explain the seeds, units and marks in a table."""
    seeds = ", ".join(map(str, table.seeds))
    subject = "Mean ± standard deviation over seeds" if len(table.seeds) > 1 else "Seed"
    return (
        f"{subject} {seeds}; accuracies in per cent on the held-out images; ↓ marks a metric that "
        "is not better than all its baselines with every seed."
    )


def to_csv(table: Table) -> str:
    """Return the table as CSV, with separate columns for standard deviations and weights."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [column for name in table.columns for column in (name, f"{name}_std")]
    writer.writerow([*table.axes, "kind", *columns, "note", "weights"])
    for row in table.rows:
        numbers: list[str] = []
        for name in table.columns:
            cell = row.cells.get(name)
            numbers += [_format_number(cell.mean), _format_number(cell.std)] if cell else ["", ""]
        weights = " ".join(target for _, target in row.links)
        note = "; ".join(filter(None, [row.note, *row.run_notes]))
        writer.writerow([*row.label, row.kind, *numbers, note, weights])
    return text.getvalue()


def to_html(table: Table) -> str:
    """Return the table as one HTML page; clicking a column heading sorts the rows."""
    return render_page(
        "ssl_plugin_benchmark",
        "table.html",
        title=table.name,
        table=table,
        ranking=table.ranking,
        explanation=describe_table(table),
        notes=list_notes(table),
    )


def to_json(table: Table, outcomes: Sequence[RunOutcome]) -> dict[str, Any]:
    """Return the results of every run, or its error, and the ranks as a JSON-compatible dict."""
    runs = [
        {
            "run": outcome.run.name,
            **outcome.run.combination,
            "seed": outcome.run.seed,
            "error": outcome.error if outcome.results is None else "",
            "results": outcome.results,
        }
        for outcome in outcomes
    ]
    return {"suite": table.name, "runs": runs, "ranking": table.ranking.as_dict()}


def describe_outcome(outcome: RunOutcome) -> str:
    """Return a run's headline metrics, or its error, as text for the terminal."""
    if outcome.results is None or outcome.summary is None:
        return f"FAILED: {outcome.error}"
    metrics = [f"{row.name} {row.figure.format(row.value)}" for row in outcome.summary.headlines]
    return ", ".join([*metrics, f"{outcome.results['wall_time_s']:.0f} s"])


def _markdown_line(cells: Sequence[str]) -> str:
    """Return cells as one line of a Markdown table."""
    return f"| {' | '.join(map(_escape, cells))} |"


def _escape(text: str) -> str:
    """Return text with the special characters of Markdown tables escaped."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def _weights_line(row: TableRow) -> str:
    """Return a Markdown list item with links to the weights of a row, one per seed and file."""
    links = (f"[{Path(target).stem} {seed}]({quote(target)})" for seed, target in row.links)
    return f"- {' '.join(row.label)}: {', '.join(links)}"


def _format_number(value: float | None) -> str:
    """Return a number with six significant digits, or an empty string for None."""
    return "" if value is None else f"{value:.6g}"
