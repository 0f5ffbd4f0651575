"""Two devices by the real command, as a user with two GPUs has them: gloo processes here."""

import csv
import json

import pytest
from safetensors.torch import load_file

from tests.conftest import as_ini, tiny
from tests.processes import close


@pytest.mark.slow
def test_a_run_on_two_devices_is_the_run_on_one(ssl_host, tmp_path):
    """With batch norm in backbone and heads, a queue and the probe, at float64.

    Seen to fail with batch norm left to each process, and with the probe's gradients not averaged.
    """
    found = {}
    for devices in (1, 2):
        sections = tiny(
            run={"name": f"on-{devices}"},
            method={"name": "nnclr", "queue_size": 40},
            trainer={"accelerator": "cpu", "devices": devices, "precision": "64-true"},
            **{"head.predictor": {"hidden_dim": 16}},
        )
        (tmp_path / "c.ini").write_text(as_ini(sections), encoding="utf-8")
        done = ssl_host("run", "c.ini")
        assert done.returncode == 0, done.stderr
        folder = tmp_path / "runs" / f"on-{devices}"
        rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
        results = json.loads((folder / "results.json").read_text())
        found[devices] = load_file(folder / "backbone.safetensors"), rows, results
    one, two = found[1], found[2]
    assert [row["step"] for row in two[1]] == [row["step"] for row in one[1]]
    for a, b in zip(one[1], two[1], strict=True):
        assert float(b["loss"]) == pytest.approx(float(a["loss"]), rel=1e-7)
        assert b["online_top1"] == a["online_top1"]
    for name, value in one[0].items():
        assert close(two[0][name].double(), value.double()), name
    assert two[2]["metrics"]["online.top1"] == one[2]["metrics"]["online.top1"]
    assert two[2]["images"] == one[2]["images"]
