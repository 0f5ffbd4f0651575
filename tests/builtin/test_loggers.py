"""Loggers write what they were told, and go on where a run resumes."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ssl_host
from ssl_host import Run
from ssl_host.errors import ConfigError, UserError


def run(folder, resumed=0):
    return Run("r", folder, 0, {}, resumed)


def test_csv_rewrites_its_header_for_a_new_column(tmp_path):
    logger = ssl_host.build("logger", "csv")
    logger.start(run(tmp_path))
    logger.log(1, {"loss": 2.0})
    logger.log(2, {"loss": 1.5, "extra": 0.125})
    logger.log(3, {"loss": 1.0})
    logger.finish(None)
    assert (tmp_path / "metrics.csv").read_text() == "step,loss,extra\n1,2,\n2,1.5,0.125\n3,1,\n"


def test_csv_drops_rows_after_the_step_it_resumes_from(tmp_path):
    """Lightning's own logger overwrites the file.

    Seen to fail with the torn row taken for one of step 2.
    """
    logger = ssl_host.build("logger", "csv")
    logger.start(run(tmp_path))
    for step in range(1, 6):
        logger.log(step, {"loss": float(step)})
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("2")  # torn by a kill within the number 27
    again = ssl_host.build("logger", "csv")
    again.start(run(tmp_path, resumed=3))
    again.log(4, {"loss": 40.0})
    assert (tmp_path / "metrics.csv").read_text() == "step,loss\n1,1\n2,2\n3,3\n4,40\n"


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b"loss\n1\n"])
def test_a_csv_that_is_no_table_any_more_is_told(content, tmp_path):
    """Seen to fail with the component attribute_errors, at every try."""
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"metrics\.csv is no table .* up to step 3 will be miss"):
        ssl_host.build("logger", "csv").start(run(tmp_path, resumed=3))


def test_tensorboard_writes_scalars_that_can_be_read_back(tmp_path):
    for resumed, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        logger = ssl_host.build("logger", "tensorboard")
        logger.start(run(tmp_path, resumed))
        for step in steps:
            logger.log(step, {"loss": step * (1.0 if resumed == 0 else 10.0)})
        logger.flush()
        logger.finish({})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    found = [(e.step, e.value) for e in events.Scalars("loss")]
    assert found == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)]


@pytest.mark.parametrize("name", ["csv", "tensorboard"])
def test_a_logger_can_stop_without_results(name, tmp_path):
    logger = ssl_host.build("logger", name)
    logger.start(run(tmp_path))
    logger.finish(None)


@pytest.mark.parametrize(("name", "key"), [("csv", "file"), ("tensorboard", "folder")])
@pytest.mark.parametrize("path", ["../out", "/elsewhere/out", "a/../../out", "..", "..\\out"])
def test_a_record_stays_in_the_runs_folder(name, key, path):
    """Seen to fail with any text allowed."""
    with pytest.raises(ConfigError, match=f"{key}: .*pattern"):
        ssl_host.build("logger", name, **{key: path})
