"""The real wandb package in offline mode, and what it wrote read back."""

import json

import pytest
from wandb.proto import wandb_internal_pb2

import ssl_host
from ssl_host import Run, UserError
from ssl_host.testing import conformance

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)
BLOCK, HEADER = 32768, 7


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


test_conforms = conformance("logger", "wandb", offline=True)


def records(folder):
    """The records of the one offline run in a folder: LevelDB's log format, after a header."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    data, at, parts = file.read_bytes(), HEADER, []
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts.append(data[at + HEADER : at + HEADER + length])
        at += HEADER + length
        if kind in (1, 4):  # whole, or the last of several
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record


def history(found):
    """Rows of scalars, by step."""
    rows = {}
    for record in found:
        if record.WhichOneof("record_type") == "history":
            values = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            rows[values["_step"]] = {k: v for k, v in values.items() if not k.startswith("_")}
    return rows


def log(folder, steps, results=None, resumed=0, **settings):
    logger = ssl_host.build("logger", "wandb", offline=True, **settings)
    config = {"run": {"epochs": 3, "dir": folder}, "method": {"name": "simclr"}}
    logger.start(Run("digits", folder, 0, config, resumed))
    for step in steps:
        logger.log(step, {"loss": step / 8})
    logger.flush()
    logger.finish(results)


def test_scalars_settings_figures_views_and_report_are_written(tmp_path):
    (tmp_path / "report.json").write_text(
        json.dumps({"gallery": [{"image": PIXEL, "views": [PIXEL, PIXEL]}]})
    )
    (tmp_path / "report.html").write_text("<b>figures</b>")
    log(tmp_path, (1, 2), {"metrics": {"knn.top1": 0.5}}, project="study", group="first")
    found = list(records(tmp_path))
    rows = history(found)
    assert [rows[1], rows[2]["loss"]] == [{"loss": 0.125}, 0.25]
    assert (rows[2]["views/count"], rows[2]["views/width"]) == (1, 3)
    assert rows[2]["report/_type"] == "html-file"
    run = next(r.run for r in found if r.WhichOneof("record_type") == "run")
    assert (run.project, run.display_name, run.run_group) == ("study", "digits", "first")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (config["run"]["epochs"], config["method"]["name"]) == (3, "simclr")
    summary = {
        item.key: item.value_json
        for r in found
        if r.WhichOneof("record_type") == "summary"
        for item in r.summary.update
    }
    assert summary["knn.top1"] == "0.5"


def test_a_resumed_run_is_the_same_run_and_another_folder_is_not(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    log(tmp_path / "one", (1, 2))
    (identity,) = (f.read_text() for f in (tmp_path / "one").glob("wandb/id-*"))
    log(tmp_path / "one", (2, 3), resumed=1)
    log(tmp_path / "other", (1,))
    (other,) = (f.read_text() for f in (tmp_path / "other").glob("wandb/id-*"))
    assert other != identity
    runs = [
        f.name.removesuffix(".wandb")
        for f in sorted(tmp_path.glob("*/wandb/offline-run-*/*.wandb"))
    ]
    assert sorted(runs) == sorted([*[f"run-{identity}"] * 2, f"run-{other}"])


def test_a_run_may_be_sent_to_two_projects_at_once(tmp_path):
    """Seen to fail at the end of the run: the second began by finishing the first."""
    loggers = [
        ssl_host.build("logger", "wandb", offline=True, project=project) for project in ("a", "b")
    ]
    for logger in loggers:
        logger.start(Run("r", tmp_path, 0, {}))
    for logger in loggers:
        logger.log(1, {"loss": 0.5})
    for logger in loggers:
        logger.finish({"metrics": {"knn.top1": 0.5}})
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == 2


def test_without_an_account_the_way_out_is_told(tmp_path):
    logger = ssl_host.build("logger", "wandb")
    with pytest.raises(UserError, match="or offline = true, which needs no account"):
        logger.start(Run("digits", tmp_path, 0, {}, 0))


def test_a_project_that_wandb_would_refuse_is_told_by_the_settings():
    """Seen to fail when the run began, with the advice to log in."""
    with pytest.raises(UserError, match="project: String should match pattern"):
        ssl_host.build("logger", "wandb", project="a/b", offline=True)
