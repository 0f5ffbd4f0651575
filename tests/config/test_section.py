"""Sections of plugins: values from layers, and problems with their lines."""

from pathlib import Path

import pytest
from pydantic import Field

from ssl_host import ConfigError, Settings, option_layer, read_ini_layer, validate_section


class SweepSettings(Settings):
    trials: int = Field(4, ge=1, description="number of trials")
    metric: str = Field(description="figure to maximise")
    folder: Path = Field(Path("sweeps"), description="folder of the results")


@pytest.fixture
def validate(tmp_path):
    """Return a function that validates a file's section ``[sweep]`` with options on top."""

    def validate(text: str, *options: str) -> SweepSettings:
        file = tmp_path / "sweep.ini"
        file.write_text(text, encoding="utf-8")
        layers = [read_ini_layer(file), option_layer(options)]
        return validate_section("sweep", SweepSettings, layers, str(file))

    return validate


def test_section_has_values_of_the_highest_layer_and_defaults(validate):
    settings = validate(
        "[sweep]\nmetric = knn.top1\ntrials = 2\n[run]\nepochs = 1\n", "sweep.trials=8"
    )
    assert settings == SweepSettings(trials=8, metric="knn.top1")


def test_relative_path_is_relative_to_its_file(validate, tmp_path):
    settings = validate("[sweep]\nmetric = rankme\nfolder = out\n")
    assert settings.folder == tmp_path / "out"


def test_problems_of_a_section_are_reported_at_once_with_their_lines(validate, tmp_path):
    with pytest.raises(ConfigError) as caught:
        validate("[sweep]\ntrails = 3\ntrials = 0\n", "sweep.folder=out@int")
    lines = str(caught.value).splitlines()
    file = tmp_path / "sweep.ini"
    expected = [
        ("-o sweep.folder=out@int: [sweep] folder: ", "int"),
        (f"{file}:3: [sweep] trials = 0: ", "greater than or equal to 1"),
        (f"{file}: [sweep] metric: ", "required"),
        (f"{file}:2: [sweep] trails: unknown key", "did you mean 'trials'?"),
    ]
    assert len(lines) == len(expected)
    for line, (start, part) in zip(sorted(lines), sorted(expected), strict=True):
        assert line.startswith(start)
        assert part in line
