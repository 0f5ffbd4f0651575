"""Run the batch script of the cluster page, with substitutes for SLURM's commands."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.conftest import as_ini, tiny
from tests.processes import command, has_rows, wait_until

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md"
# Variables that SLURM sets for a job of one task; srun passes them to the command.
SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "nnclr",
    "SLURM_NTASKS": "1",
    "SLURM_NTASKS_PER_NODE": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NODELIST": "localhost",
}


def write_script(folder, name, text):
    file = folder / name
    file.write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
    file.chmod(0o755)


@pytest.mark.slow
def test_batch_script_after_usr1_requeues_the_job(tmp_path, request):
    script = re.search(r"```text\n(#!/bin/bash\n.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert script is not None
    (tmp_path / "job.sh").write_text(script[1], encoding="utf-8")
    config = tiny(run={"name": "long", "epochs": 4000}, checkpoint={"every_epochs": 4000})
    (tmp_path / "config.ini").write_text(as_ini(config), encoding="utf-8")
    commands = tmp_path / "bin"
    commands.mkdir()
    write_script(commands, "srun", 'echo $$ > pid; exec "$@"')
    write_script(commands, "scontrol", 'echo "$@" >> requeued')
    write_script(commands, "ssl-host", f'exec {sys.executable} -m ssl_host "$@"')
    path = f"{commands}:{os.environ['PATH']}"
    job = command("bash", "job.sh", cwd=tmp_path, environment={**SLURM, "PATH": path}, group=True)
    request.addfinalizer(lambda: job.poll() is None and os.killpg(job.pid, signal.SIGKILL))
    rows = tmp_path / "runs" / "long" / "metrics.csv"
    wait_until(lambda: has_rows(rows, 5), process=job)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGUSR1)
    _, stderr = job.communicate(timeout=60)
    assert job.returncode == 75, stderr
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    assert len(list((tmp_path / "runs" / "long" / "checkpoints").glob("*.ckpt"))) == 1
