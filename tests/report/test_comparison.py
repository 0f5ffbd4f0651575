"""Comparison page: figures, different settings, and its scripts in a real browser."""

import json
import re
import shutil
from pathlib import Path

import pytest

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.errors import RunFolderError
from ssl_host.pipeline.finished_runs import compare_runs
from ssl_host.pipeline.run import run_config
from ssl_host.report.comparison import ComparedRun, run_labels
from tests.conftest import tiny
from tests.report.browser import open_page

needs_chromium = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not installed"
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two runs of one name in two folders, and one of another method."""
    base = tmp_path_factory.mktemp("compared")
    catalog = Catalog()
    found = []
    for place, name, more in (
        ("a", "first <b>", {}),
        ("b", "first <b>", {"optimizer": {"name": "sgd", "lr": 0.02}}),
        ("b", "second", {"method": {"name": "barlowtwins"}}),
    ):
        sections = tiny(run={"dir": base / place, "name": name}, **more)
        sections["evaluator.knn"] = {"name": "knn"}
        found.append(run_config(resolve_sections(sections, catalog), catalog).folder)
    return found


def test_run_labels_of_equal_names_include_parent_folders(tmp_path):
    folders = [tmp_path / place / name for place, name in (("x", "n"), ("y", "n"), ("y", "m"))]
    assert run_labels(folders) == ["x/n", "y/n", "y/m"]
    assert run_labels(folders[1:]) == ["n", "m"]


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A run like the first with a wider backbone."""
    sections = tiny(run={"dir": tmp_path_factory.mktemp("more"), "name": "wide"})
    sections["backbone"]["width"] = 16
    sections["evaluator.knn"] = {"name": "knn"}
    return run_config(resolve_sections(sections, Catalog()), Catalog()).folder


@pytest.fixture(scope="module")
def page(folders):
    return compare_runs(folders, folders[0].parents[1] / "comparison.html", Catalog())[0]


def test_page_has_figures_curves_differences_and_neighbours(page):
    text = page.read_text("utf-8")
    assert "first &lt;b&gt;" in text
    assert "first <b>" not in text
    for method in ("simclr", "barlowtwins"):
        assert f"<td>{method}</td>" in text
    for title in ("Training", "Different settings", "Nearest neighbours of the same images"):
        assert f"<h2>{title}" in text
    loss = text.split("<figcaption>Loss")[1].split("</figure>")[0]
    assert loss.count("<polyline") == 3
    heights = re.findall(r'data-values="([^"]+)"', loss)
    for values in heights:  # of two methods: losses are normalised
        numbers = [float(point.split(",")[1]) for point in values.split(";")]
        assert (min(numbers), max(numbers)) == (0.0, 1.0)
    differing = text.split("Different settings")[1].split("</table>")[0]
    assert "<code>lr</code></td><td><code>0.05</code></td><td><code>0.02</code>" in differing
    assert "<code>momentum</code>" not in differing.split("<code>optimizer</code>")[0]
    assert "<code>temperature</code>" in differing  # only SimCLR's loss has it
    assert "<code>seed</code>" not in differing
    queries = text.split("Nearest neighbours of")[1]
    assert queries.count('alt="query"') == 8
    assert queries.count('class="fine near"') == 24
    assert 'href="a/first%20%3Cb%3E/report.html"' in text


@pytest.mark.parametrize(
    ("section", "value", "comparable"),
    [("run", {"batch_size": 8}, False), ("optimizer", {"lr": 0.1}, True)],
)
def test_losses_of_other_batch_sizes_are_not_comparable(section, value, comparable):
    """At chance the loss of a larger batch is higher, which would look worse."""
    losses = []
    for more in ({}, value):
        sections = tiny()
        sections[section] = {**sections.get(section, {}), **more}
        config = resolve_sections(sections, Catalog())
        losses.append(ComparedRun("x", Path("x"), {}, config).loss_settings)
    assert (losses[0] == losses[1]) == comparable


def test_unfinished_runs_are_skipped_with_a_reason(folders, tmp_path):
    (tmp_path / "started").mkdir()
    (tmp_path / "started" / "config.ini").write_text("", encoding="utf-8")
    others = [tmp_path / "started", tmp_path / "nowhere", tmp_path]
    page, _, skipped = compare_runs([*folders[:2], *others], tmp_path / "c.html", Catalog())
    assert "barlowtwins" in page.read_text("utf-8") or "simclr" in page.read_text("utf-8")
    assert len(skipped) == len(others)
    for folder, reason in zip(others, skipped, strict=True):
        assert str(folder) in reason
    assert "ssl-host run" in skipped[0]
    assert "config.ini" in skipped[2]
    with pytest.raises(RunFolderError, match=r"two finished runs(.|\n)*started"):
        compare_runs([folders[0], tmp_path / "started"], tmp_path / "none.html", Catalog())
    assert not (tmp_path / "none.html").exists()


def test_baselines_of_different_images_are_separate_rows(folders, tmp_path):
    sections = tiny(run={"dir": tmp_path, "name": "other"}, data={"image_size": 24})
    sections["evaluator.knn"] = {"name": "knn"}
    other = run_config(resolve_sections(sections, Catalog()), Catalog()).folder
    text = compare_runs([folders[0], other], tmp_path / "two.html", Catalog())[0].read_text("utf-8")
    for label in ("first &lt;b&gt;", "other"):
        assert f">raw pixels, of {label}<" in text


def test_backbones_of_equal_names_show_their_settings_and_share_pixel_baselines(
    folders, wide, tmp_path
):
    text = compare_runs([folders[0], wide], tmp_path / "two.html", Catalog())[0].read_text("utf-8")
    assert "<td>small_conv, width 16</td>" in text
    assert ">random network, of wide<" in text
    assert text.count(">raw pixels") == text.count(">raw pixels<") == 1


def test_baseline_of_several_runs_shows_their_number_and_names_in_its_title(
    folders, wide, tmp_path
):
    compared = [*folders[1:], wide]
    text = compare_runs(compared, tmp_path / "three.html", Catalog())[0].read_text("utf-8")
    named = text.split('title="first &lt;b&gt;, second"')[1].split("</td>")[0]
    assert named.startswith(">random network, of 2 runs<")
    assert re.findall(r"dot (c\d)", named) == ["c0", "c1"]
    assert ">random network, of wide<" in text


def test_headline_figures_and_speed_come_first_and_other_figures_in_a_second_table(page):
    tables = [_headings(table) for table in page.read_text("utf-8").split("<thead>")[1:]]
    assert tables[0] == [
        *("run", "online.top1, %", "knn.top1, %", "rankme", "throughput.images_per_s"),
        *("seconds", "method", "backbone", "data", "epochs", "seed"),
    ]
    assert tables[1][0] == "run"
    expected = {"knn.balanced_accuracy, %", "throughput.data_wait_fraction", "peak_memory_mb"}
    assert expected <= set(tables[1])


def _headings(table):
    """Return the text of a table's headings."""
    cells = re.findall(r"<th.*?>(.*?)</th>", table.split("</thead>")[0])
    return [re.sub(r"<.*?>", "", cell).replace("&nbsp;", " ") for cell in cells]


def test_page_ranks_runs_without_labels_and_warns_of_different_methods(page, folders):
    section = page.read_text("utf-8").split("<h2>Choice without labels")[1].split("</section>")[0]
    assert "Ranks of the runs" in section
    assert section.count("<tr>") == 1 + len(folders)
    assert "method (simclr, barlowtwins)" in section


@pytest.mark.parametrize("command", ["compare", "report"])
def test_command_prints_the_ranks_and_last_the_path_of_the_page(
    ssl_host, folders, tmp_path, command
):
    page = tmp_path / "c.html"
    done = ssl_host(command, *folders, "--output", page)
    assert done.returncode == 0, done.stderr
    assert "rankme" in done.stdout
    assert done.stdout.splitlines()[-1] == str(page)


def test_compare_as_json_has_the_ranks_and_the_skipped_folders(ssl_host, folders, tmp_path):
    page = tmp_path / "c.html"
    done = ssl_host("compare", *folders, tmp_path / "none", "--output", page, "--json")
    written = json.loads(done.stdout)
    assert written["page"] == str(page)
    assert "none" in written["skipped"][0]
    ranks = {m["name"]: sorted(m["ranks"].values()) for m in written["ranking"]["measures"]}
    assert ranks["rankme"] == [1, 2, 3]


def test_compare_of_a_single_run_names_the_command_for_it(ssl_host, folders):
    done = ssl_host("compare", folders[0])
    assert done.returncode == 2
    assert f"ssl-host report {folders[0]}" in done.stderr


def test_missing_folders_are_all_reported(ssl_host):
    done = ssl_host("compare", "here", "there")
    assert done.returncode == 2
    assert "here: no such folder" in done.stderr
    assert "there: no such folder" in done.stderr


SORT = """
const table = document.querySelectorAll("table.sortable")[TABLE];
const heading = [...table.tHead.rows[0].cells].find((cell) => cell.textContent === "HEADING");
heading.click();
const rows = [...table.tBodies[0].rows];
document.title = rows.map((row) => row.cells[heading.cellIndex].textContent).join();
"""
WIDTHS = """
const far = (cell) => Math.round(cell.getBoundingClientRect().right);
const box = document.querySelector(".scroll");
const cells = box.querySelector("tbody").rows[0].cells;
cells[0].append(" with a name of any length, longer than the screen is wide");
const seen = [...cells].filter((cell) => cell.matches(".strong") && far(cell) <= far(box)).length;
const pieces = [...document.querySelectorAll("td code")].flatMap((code) => [...code.childNodes]);
const broken = pieces.filter((piece) => {
  const range = document.createRange();
  range.selectNodeContents(piece);
  return piece.nodeType === Node.TEXT_NODE && range.getClientRects().length > 1;
});
const page = document.documentElement;
const before = far(cells[0]);
box.scrollLeft = 100;
document.title = [seen, before - far(cells[0]), broken.length, page.scrollWidth - page.clientWidth];
"""


def _title(page, script, folder, width=1280):
    """Return the values that a script writes into the page's title; fail on console errors."""
    scripted = folder / "scripted.html"
    text = page.read_text("utf-8").replace("</body>", f"<script>{script}</script></body>")
    scripted.write_text(text, encoding="utf-8")
    done = open_page(scripted, folder / "profile", width)
    assert "CONSOLE" not in done.stderr, done.stderr
    return re.search("<title>(.*?)</title>", done.stdout).group(1).split(",")


@needs_chromium
@pytest.mark.parametrize(("table", "heading"), [(0, "method"), (1, "peak_memory_mb")])
def test_tables_in_a_browser_are_sorted_by_a_click_on_the_heading(page, tmp_path, table, heading):
    script = SORT.replace("TABLE", str(table)).replace("HEADING", heading)
    found = _title(page, script, tmp_path)
    if heading == "method":
        assert found == ["barlowtwins", "simclr", "simclr"]
    else:
        assert found == sorted(found, key=float, reverse=True)


@needs_chromium
def test_page_on_a_phone_shows_figures_next_to_names_without_broken_words(page, tmp_path):
    seen, moved, broken, beyond = map(int, _title(page, WIDTHS, tmp_path, width=390))
    assert seen == 2
    assert (moved, broken, beyond) == (0, 0, 0)


def test_page_lists_notes_with_their_runs(folders, tmp_path):
    copies = [shutil.copytree(folder, tmp_path / str(i)) for i, folder in enumerate(folders)]
    for number, folder in enumerate(copies):
        results = json.loads((folder / "results.json").read_text())
        results["notes"] = ["of all runs", *(["few gray levels"] if number == 1 else [])]
        (folder / "results.json").write_text(json.dumps(results))
    page = compare_runs(copies, tmp_path / "comparison.html", Catalog())[0]
    (section,) = re.findall(r"<h2>Notes</h2>.*?</section>", page.read_text("utf-8"), re.DOTALL)
    assert "<li>of all runs</li>" in section
    assert re.search(r"<li><i class=\"dot c1\"></i> 1: few gray levels</li>", section)


def test_page_says_which_run_was_trained_with_labels(folders, tmp_path):
    copies = [shutil.copytree(folder, tmp_path / str(i)) for i, folder in enumerate(folders[:2])]
    results = json.loads((copies[1] / "results.json").read_text())
    (copies[1] / "results.json").write_text(json.dumps(results | {"uses_labels": True}))
    text = compare_runs(copies, tmp_path / "comparison.html", Catalog())[0].read_text("utf-8")
    assert text.count("trained with labels") == 1
