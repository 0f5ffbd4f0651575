"""Suite files: the grid they stand for, and all that can be wrong with them at once."""

import pytest

from ssl_host.benchmark.suite import read_suite
from ssl_host.errors import ConfigError

SUITE = """[suite]
methods = simclr, cold
seeds = 3, 4
dir = there

[method.cold]
name = nnclr
temperature = 0.05

[run]
epochs = 7
batch_size = 32

[data]
name = synthetic

[backbone.narrow]
name = small_conv
width = 4

[backbone.small_conv]
width = 8

[published.simclr]
linear.top1 = 0.665
source = arXiv:2002.05709
"""


@pytest.fixture
def suite(tmp_path, catalog):
    """Reads a suite's text, with options."""

    def read(text: str = SUITE, *options: str):
        file = tmp_path / "grid.ini"
        file.write_text(text, encoding="utf-8")
        return read_suite(file, options, catalog)

    return read


def test_every_combination_is_a_cell_and_a_folder_of_its_own(suite, tmp_path):
    found = suite()
    assert [cell.name for cell in found.cells] == [
        f"{m}-{b}-seed{s}"
        for m in ("simclr", "cold")
        for b in ("narrow", "small_conv")
        for s in (3, 4)
    ]
    assert found.folder == tmp_path / "there" / "grid"
    assert found.published == {"simclr": {"linear.top1": 0.665, "source": "arXiv:2002.05709"}}
    cold = next(cell for cell in found.cells if cell.name == "cold-narrow-seed4")
    values = cold.config.values()
    assert values["run"]["dir"] == found.folder
    assert (values["run"]["seed"], values["run"]["epochs"]) == (4, 7)
    assert values["backbone"] | {"name": "small_conv", "width": 4} == values["backbone"]
    assert (values["method"]["name"], values["loss"]["temperature"]) == ("nnclr", 0.05)
    warm = next(cell for cell in found.cells if cell.name == "simclr-small_conv-seed3")
    assert warm.config.values()["loss"]["temperature"] != 0.05
    assert warm.config.values()["backbone"]["width"] == 8


def test_values_keep_the_line_they_came_from(suite, tmp_path):
    shown = suite().cells[0].config.entries
    assert str(shown["backbone", "width"].origin) == f"{tmp_path / 'grid.ini'}:19"
    assert str(shown["run", "epochs"].origin) == f"{tmp_path / 'grid.ini'}:11"


def test_a_preset_is_each_methods_own(suite):
    text = "[suite]\nmethods = byol, simsiam\npreset = mnist5k\n"
    found = suite(text)
    byol, simsiam = (cell.config.values() for cell in found.cells)
    assert byol["method"]["name"] == "byol"
    assert byol["data"]["name"] == simsiam["data"]["name"] == "mnist5k"
    origin = found.cells[0].config.entries["head.predictor", "hidden_dim"].origin
    assert origin.layer == "preset byol/mnist5k"


def test_options_reach_the_suite_and_every_cell(suite):
    found = suite(SUITE, "suite.seeds=9", "suite.jobs=2", "run.epochs=1")
    assert {cell.seed for cell in found.cells} == {9}
    assert found.jobs == 2
    assert {cell.config.run.epochs for cell in found.cells} == {1}


def test_everything_that_is_wrong_is_told_at_once_and_once(suite, tmp_path):
    text = SUITE.replace("width = 8", "widht = 8").replace("epochs = 7", "epochs = many")
    text = text.replace("0.665", "66.5\nlinaer.top1 = 0.7")
    text = text.replace("[published.simclr]", "[published.simcrl]")
    with pytest.raises(ConfigError) as caught:
        suite(text)
    file = tmp_path / "grid.ini"
    assert str(caught.value).splitlines() == [
        f"{file}:11: [run] epochs = many: should be a whole number (passes over the training "
        "images; 0 only evaluates what init_from gives)",
        f"{file}:22: [backbone] widht: unknown key; did you mean 'width'?",
        f"{file}:24: [published.simcrl] is no method of the suite; did you mean 'simclr'?",
        f"{file}:25: [published.simcrl] linear.top1 = 66.5: should be a fraction from 0 to 1",
        f"{file}:26: [published.simcrl] linaer.top1 = 0.7: unknown figure; did you mean "
        "'linear.top1'?",
    ]


def test_a_suite_without_methods_says_so(suite):
    with pytest.raises(ConfigError, match=r"\[suite\] methods: name at least one"):
        suite("[suite]\nseeds = 1\n")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds = 3, 4", "seeds = 3, 3", "each seed once"),
        ("methods = simclr, cold", "methods = simclr, simclr", "each method once"),
        ("dir = there", "name = ../there", "is the name of a folder"),
        ("seeds = 3, 4", "seeds = a, b", "[suite] seeds = a, b: item 1 should be a whole number"),
        ("seeds = 3, 4", "sedes = 3", "[suite] sedes: unknown key; did you mean 'seeds'?"),
        ("methods = simclr, cold", "methods = simclr, warm", "warm"),
        ("seeds = 3, 4", "preset = nowhere", "nowhere"),
    ],
)
def test_a_fault_of_the_suite_is_named(suite, old, new, said):
    with pytest.raises(ConfigError) as caught:
        suite(SUITE.replace(old, new))
    assert said in str(caught.value)


def test_two_cells_of_one_folder_are_refused(suite):
    """Seen to fail: one run stood in the table for both, as ± 0.0, and the other's row was lost."""
    text = SUITE.replace("cold", "simclr-x").replace("[backbone.narrow]", "[backbone.x-small_conv]")
    with pytest.raises(ConfigError) as caught:
        suite(text)
    told = str(caught.value).splitlines()
    assert len(told) == 2  # of each seed
    assert told[0].endswith(
        "[method.simclr] with [backbone.x-small_conv] and [method.simclr-x] with "
        "[backbone.small_conv] would share the folder simclr-x-small_conv-seed3; give one of them "
        "another name"
    )


def test_figures_may_be_published_for_a_section_of_its_own(suite):
    """Seen to fail: a method that only its section names ran, and had no published row."""
    text = SUITE.replace("methods = simclr, cold", "methods = simclr")
    text = text.replace("[published.simclr]", "[published.cold]")
    assert suite(text).published.keys() == {"cold"}


def test_what_the_cells_have_of_their_own_is_refused(suite, tmp_path):
    """Seen to fail with names, folders and seeds that had no effect, without a word."""
    text = SUITE.replace("epochs = 7", "seed = 5")
    with pytest.raises(ConfigError) as caught:
        suite(text, "run.name=mine", "run.dir=there")
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'grid.ini'}:11: [run] seed has no effect in a suite, whose cells have their "
        "own; give [suite] seeds",
        "-o run.name=mine: [run] name has no effect in a suite, whose cells have their own; "
        "give [suite] name",
        "-o run.dir=there: [run] dir has no effect in a suite, whose cells have their own; "
        "give [suite] dir",
    ]
