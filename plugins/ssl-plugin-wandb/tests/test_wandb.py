"""Tests with the wandb package in offline mode, which read the files that it writes."""

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
    """Yield the records of the only offline run in a folder: a header and LevelDB's log format."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    data, offset, chunks = file.read_bytes(), HEADER, []
    while offset + HEADER <= len(data):
        if BLOCK - offset % BLOCK < HEADER:
            offset += BLOCK - offset % BLOCK
            continue
        length, kind = int.from_bytes(data[offset + 4 : offset + 6], "little"), data[offset + 6]
        chunks.append(data[offset + HEADER : offset + HEADER + length])
        offset += HEADER + length
        if kind in (1, 4):  # a complete record, or its last chunk
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(chunks))
            chunks = []
            yield record


def history(all_records):
    """Return the rows of scalars by step."""
    rows = {}
    for record in all_records:
        if record.WhichOneof("record_type") == "history":
            values = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            rows[values["_step"]] = {k: v for k, v in values.items() if not k.startswith("_")}
    return rows


def log(folder, steps, results=None, resumed_step=0, **settings):
    logger = ssl_host.build("logger", "wandb", offline=True, **settings)
    config = {"run": {"epochs": 3, "dir": folder}, "method": {"name": "simclr"}}
    logger.start(Run("digits", folder, 0, config, resumed_step))
    for step in steps:
        logger.log(step, {"loss": step / 8})
    logger.flush()
    logger.finish(results)


def test_run_writes_scalars_settings_metrics_views_and_report(tmp_path):
    (tmp_path / "report.json").write_text(
        json.dumps({"gallery": [{"image": PIXEL, "views": [PIXEL, PIXEL]}]})
    )
    (tmp_path / "report.html").write_text("<b>figures</b>")
    log(tmp_path, (1, 2), {"metrics": {"knn.top1": 0.5}}, project="study", group="first")
    all_records = list(records(tmp_path))
    rows = history(all_records)
    assert [rows[1], rows[2]["loss"]] == [{"loss": 0.125}, 0.25]
    assert (rows[2]["views/count"], rows[2]["views/width"]) == (1, 3)
    assert rows[2]["report/_type"] == "html-file"
    run = next(r.run for r in all_records if r.WhichOneof("record_type") == "run")
    assert (run.project, run.display_name, run.run_group) == ("study", "digits", "first")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (config["run"]["epochs"], config["method"]["name"]) == (3, "simclr")
    summary = {
        item.key: item.value_json
        for r in all_records
        if r.WhichOneof("record_type") == "summary"
        for item in r.summary.update
    }
    assert summary["knn.top1"] == "0.5"


def test_resumed_run_has_the_same_id_and_another_folder_has_not(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    log(tmp_path / "one", (1, 2))
    (run_id,) = (f.read_text() for f in (tmp_path / "one").glob("wandb/id-*"))
    log(tmp_path / "one", (2, 3), resumed_step=1)
    log(tmp_path / "other", (1,))
    (other_id,) = (f.read_text() for f in (tmp_path / "other").glob("wandb/id-*"))
    assert other_id != run_id
    runs = [
        f.name.removesuffix(".wandb")
        for f in sorted(tmp_path.glob("*/wandb/offline-run-*/*.wandb"))
    ]
    assert sorted(runs) == sorted([*[f"run-{run_id}"] * 2, f"run-{other_id}"])


def test_two_loggers_write_two_projects_of_one_run(tmp_path):
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


def test_start_without_account_names_offline_mode(tmp_path):
    logger = ssl_host.build("logger", "wandb")
    with pytest.raises(UserError, match="offline = true"):
        logger.start(Run("digits", tmp_path, 0, {}, 0))


def test_invalid_project_name_is_refused_by_the_settings():
    with pytest.raises(UserError, match=r"project.*pattern"):
        ssl_host.build("logger", "wandb", project="a/b", offline=True)
