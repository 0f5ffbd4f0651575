"""Tests of the built-in loggers: rows, resuming, and files that are not valid."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ssl_host
from ssl_host import Run
from ssl_host.errors import ConfigError, UserError


def run(folder, resumed=0):
    return Run("r", folder, 0, {}, resumed)


def test_csv_with_new_metric_rewrites_header(tmp_path):
    logger = ssl_host.build("logger", "csv")
    logger.start(run(tmp_path))
    logger.log(1, {"loss": 2.0})
    logger.log(2, {"loss": 1.5, "extra": 0.125})
    logger.log(3, {"loss": 1.0})
    logger.finish(None)
    assert (tmp_path / "metrics.csv").read_text() == "step,loss,extra\n1,2,\n2,1.5,0.125\n3,1,\n"


def test_csv_resume_drops_later_and_incomplete_rows(tmp_path):
    """Lightning's own logger overwrites the file."""
    logger = ssl_host.build("logger", "csv")
    logger.start(run(tmp_path))
    for step in range(1, 6):
        logger.log(step, {"loss": float(step)})
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("2")  # the process was killed while it wrote 27
    resumed = ssl_host.build("logger", "csv")
    resumed.start(run(tmp_path, resumed=3))
    resumed.log(4, {"loss": 40.0})
    assert (tmp_path / "metrics.csv").read_text() == "step,loss\n1,1\n2,2\n3,3\n4,40\n"


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b"loss\n1\n"])
def test_csv_resume_with_invalid_file_raises_user_error(content, tmp_path):
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"metrics\.csv is not a CSV file .* up to step 3"):
        ssl_host.build("logger", "csv").start(run(tmp_path, resumed=3))


def test_tensorboard_scalars_can_be_read_after_resume(tmp_path):
    for resumed, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        logger = ssl_host.build("logger", "tensorboard")
        logger.start(run(tmp_path, resumed))
        for step in steps:
            logger.log(step, {"loss": step * (1.0 if resumed == 0 else 10.0)})
        logger.flush()
        logger.finish({})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    scalars = [(e.step, e.value) for e in events.Scalars("loss")]
    assert scalars == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)]


@pytest.mark.parametrize("name", ["csv", "tensorboard"])
def test_logger_finishes_without_results(name, tmp_path):
    logger = ssl_host.build("logger", name)
    logger.start(run(tmp_path))
    logger.finish(None)


@pytest.mark.parametrize(("name", "key"), [("csv", "file"), ("tensorboard", "folder")])
@pytest.mark.parametrize("path", ["../out", "/elsewhere/out", "a/../../out", "..", "..\\out"])
def test_logger_refuses_paths_outside_the_run_folder(name, key, path):
    with pytest.raises(ConfigError, match=f"{key}.*pattern"):
        ssl_host.build("logger", name, **{key: path})
