"""Suite files: the runs that they describe, and the problems that they can have."""

import pytest
from ssl_plugin_benchmark.suite import read_suite

from ssl_host import ConfigError

SUITE = """[suite]
methods = simclr, long
seeds = 3, 4
dir = there

[method.long]
name = nnclr
queue_size = 4096

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
    """Return a function that reads a suite's text, with options."""

    def read(text: str = SUITE, *options: str):
        file = tmp_path / "grid.ini"
        file.write_text(text, encoding="utf-8")
        return read_suite(file, options, catalog)

    return read


def test_every_combination_is_a_run_with_its_own_folder(suite, tmp_path):
    result = suite()
    assert [run.name for run in result.runs] == [
        f"{method}-{backbone}-seed{seed}"
        for method in ("simclr", "long")
        for backbone in ("narrow", "small_conv")
        for seed in (3, 4)
    ]
    assert result.folder == tmp_path / "there" / "grid"
    long = next(run for run in result.runs if run.name == "long-narrow-seed4")
    values = long.config.values()
    assert values["run"]["dir"] == result.folder
    assert (values["run"]["seed"], values["run"]["epochs"]) == (4, 7)
    assert values["backbone"] | {"name": "small_conv", "width": 4} == values["backbone"]
    assert (values["method"]["name"], values["method"]["queue_size"]) == ("nnclr", 4096)
    other = next(run for run in result.runs if run.name == "simclr-small_conv-seed3")
    assert "queue_size" not in other.config.values()["method"]
    assert other.config.values()["backbone"]["width"] == 8


VARIED = """[suite]
methods = simclr
seeds = 0, 1

[data]
name = synthetic

[vary.run]
batch_size = 32, 64

[vary.optimizer]
lr = 0.1
"""


def test_each_value_of_a_varied_setting_is_run(suite, tmp_path):
    result = suite(VARIED)
    assert [run.name for run in result.runs] == [
        f"simclr-batch_size{size}-lr0.1-seed{seed}" for size in (32, 64) for seed in (0, 1)
    ]
    assert result.runs[2].combination == {
        "method": "simclr",
        "run.batch_size": "64",
        "optimizer.lr": "0.1",
    }
    entries = result.runs[2].config.entries
    assert result.runs[2].config.values()["run"]["batch_size"] == 64
    assert str(entries["run", "batch_size"].origin) == f"{tmp_path / 'grid.ini'}:9"
    assert [run.name for run in suite(VARIED, "vary.run.batch_size=16").runs] == [
        f"simclr-batch_size16-lr0.1-seed{seed}" for seed in (0, 1)
    ]


@pytest.mark.parametrize("values", ["", ",", "a/b, c"])
def test_varied_values_are_checked(values, suite):
    with pytest.raises(ConfigError, match=r"grid\.ini:9: \[vary\.run\] batch_size"):
        suite(VARIED.replace("32, 64", values))


def test_wrong_varied_setting_is_named_with_its_line(suite):
    with pytest.raises(ConfigError, match=r"grid\.ini:9: \[run\] batchsize"):
        suite(VARIED.replace("batch_size", "batchsize"))


def test_published_figures_are_read_with_their_source_and_unit(suite):
    published = suite().published
    assert published.keys() == {"simclr"}
    assert published["simclr"].source == "arXiv:2002.05709"
    (row,) = published["simclr"].figures
    assert (row.name, row.value, row.figure.unit) == ("linear.top1", 0.665, "%")


def test_values_keep_the_line_they_came_from(suite, tmp_path):
    entries = suite().runs[0].config.entries
    assert str(entries["backbone", "width"].origin) == f"{tmp_path / 'grid.ini'}:19"
    assert str(entries["run", "epochs"].origin) == f"{tmp_path / 'grid.ini'}:11"


def test_preset_is_that_of_each_method(suite):
    result = suite("[suite]\nmethods = byol, simsiam\npreset = mnist5k\n")
    byol, simsiam = (run.config.values() for run in result.runs)
    assert byol["method"]["name"] == "byol"
    assert byol["data"]["name"] == simsiam["data"]["name"] == "mnist5k"
    origin = result.runs[0].config.entries["head.predictor", "hidden_dim"].origin
    assert origin.layer == "preset byol/mnist5k"


def test_options_apply_to_the_suite_and_to_every_run(suite):
    result = suite(SUITE, "suite.seeds=9", "suite.jobs=2", "run.epochs=1")
    assert {run.seed for run in result.runs} == {9}
    assert result.jobs == 2
    assert {run.config.run.epochs for run in result.runs} == {1}


def test_columns_have_their_titles_in_the_order_of_the_setting(suite):
    columns = suite(SUITE, "suite.columns=rankme, linear.top1 as  linear top-1,").columns
    assert list(columns.items()) == [("rankme", "rankme"), ("linear.top1", "linear top-1")]
    quoted = suite(SUITE, 'suite.columns=["rankme as rank, of features", "linear.top1"]').columns
    assert list(quoted.values()) == ["rank, of features", "linear.top1"]
    assert suite().columns == {}


def test_all_problems_are_reported_at_once_and_each_once(suite, tmp_path):
    text = SUITE.replace("width = 8", "widht = 8").replace("epochs = 7", "epochs = many")
    text = text.replace("0.665", "66.5\nlinaer.top1 = 0.7\nrankme = nan")
    text = text.replace("[published.simclr]", "[published.simcrl]")
    with pytest.raises(ConfigError) as caught:
        suite(text)
    lines = str(caught.value).splitlines()
    expected = [
        (11, "[run] epochs = many: ", "a whole number"),
        (22, "[backbone] widht: ", "did you mean 'width'?"),
        (24, "[published.simcrl]", "did you mean 'simclr'?"),
        (25, "[published.simcrl] linear.top1 = 66.5: ", "a fraction from 0 to 1"),
        (26, "[published.simcrl] linaer.top1 = 0.7: ", "did you mean 'linear.top1'?"),
        (27, "[published.simcrl] rankme = nan: ", "a finite number"),
    ]
    assert len(lines) == len(expected)
    for line, (number, start, end) in zip(lines, expected, strict=True):
        assert line.startswith(f"{tmp_path / 'grid.ini'}:{number}: {start}")
        assert end in line


def test_suite_without_methods_is_refused(suite):
    with pytest.raises(ConfigError, match=r"\[suite\] methods: name at least one"):
        suite("[suite]\nseeds = 1\n")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seeds = 3, 4", "seeds = 3, 3", "each seed once"),
        ("methods = simclr, long", "methods = simclr, simclr", "each method once"),
        ("dir = there", "columns = rankme, rankme as r", "each metric once"),
        ("dir = there", "name = ../there", "should be a folder name"),
        ("seeds = 3, 4", "seeds = a, b", "[suite] seeds = a, b: item 1 should be a whole number"),
        ("seeds = 3, 4", "sedes = 3", "[suite] sedes: unknown key; did you mean 'seeds'?"),
        ("methods = simclr, long", "methods = simclr, warm", "warm"),
        ("seeds = 3, 4", "preset = nowhere", "nowhere"),
    ],
)
def test_problem_in_the_suite_section_is_named(suite, old, new, expected):
    with pytest.raises(ConfigError) as caught:
        suite(SUITE.replace(old, new))
    assert expected in str(caught.value)


def test_two_runs_with_one_folder_are_refused(suite):
    text = SUITE.replace("long", "simclr-x").replace("[backbone.narrow]", "[backbone.x-small_conv]")
    with pytest.raises(ConfigError) as caught:
        suite(text)
    problems = str(caught.value).splitlines()
    assert len(problems) == 2  # one per seed
    for name in (
        "[method.simclr] with [backbone.x-small_conv]",
        "[method.simclr-x] with [backbone.small_conv]",
        "share the folder simclr-x-small_conv-seed3",
    ):
        assert name in problems[0]


def test_figures_may_be_published_for_a_method_section(suite):
    text = SUITE.replace("methods = simclr, long", "methods = simclr")
    text = text.replace("[published.simclr]", "[published.long]")
    assert suite(text).published.keys() == {"long"}


def test_settings_that_each_run_gets_from_the_suite_are_refused(suite, tmp_path):
    text = SUITE.replace("epochs = 7", "seed = 5")
    with pytest.raises(ConfigError) as caught:
        suite(text, "run.name=mine", "run.dir=there")
    lines = str(caught.value).splitlines()
    expected = [
        (f"{tmp_path / 'grid.ini'}:11: [run] seed ", "[suite] seeds"),
        ("-o run.name=mine: [run] name ", "[suite] name"),
        ("-o run.dir=there: [run] dir ", "[suite] dir"),
    ]
    assert len(lines) == len(expected)
    for line, (start, instead) in zip(lines, expected, strict=True):
        assert line.startswith(start)
        assert line.endswith(f"use {instead}")
