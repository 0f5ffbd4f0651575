"""What stands around the code agrees with it: containers, workflows, citation."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8").replace("$(VENV)", ".venv")
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
WORKFLOWS = ROOT / ".github" / "workflows"


def test_every_step_that_is_named_is_the_makefiles():
    """Seen to fail with a target of the Makefile renamed."""
    named = [
        (file.name, target)
        for file in (
            ROOT / "Dockerfile",
            ROOT / ".devcontainer" / "devcontainer.json",
            *WORKFLOWS.iterdir(),
        )
        for target in re.findall(r"(?:RUN|run:|sudo|&&) make ([\w./-]+)", file.read_text("utf-8"))
    ]
    assert len(named) > 5
    for file, target in named:
        assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE), (file, target)


def test_workflows_test_every_python_from_the_oldest():
    matrix = yaml.safe_load((WORKFLOWS / "test.yml").read_text("utf-8"))["jobs"]["test"]
    versions = matrix["strategy"]["matrix"]["python"]
    assert versions == ["3.10", "3.11", "3.12", "3.13"]
    assert f'requires-python = ">={versions[0]}"' in PYPROJECT


def test_every_workflow_that_tests_has_a_browser(tmp_path):
    """Seen to fail with a link to Google Chrome that one workflow of two made."""
    for file in WORKFLOWS.iterdir():
        for job in yaml.safe_load(file.read_text("utf-8"))["jobs"].values():
            steps = [step["run"].split(" #")[0] for step in job["steps"] if "run" in step]
            if "make test" in steps:
                assert "sudo make system" in steps[: steps.index("make test")], file.name
    programs = tmp_path / "bin"  # of a machine that has Chrome, and no apt
    programs.mkdir()
    for name in ("sh", "ln"):
        (programs / name).symlink_to(shutil.which(name))
    for name, says in (("id", "echo 0"), ("google-chrome", "echo chrome")):
        (programs / name).write_text(f"#!/bin/sh\n{says}\n", "utf-8")
        (programs / name).chmod(0o755)
    link = tmp_path / "chromium"
    make = [shutil.which("make"), "system", f"CHROMIUM={link}"]
    subprocess.run(make, cwd=ROOT, env={"PATH": str(programs)}, check=True)
    assert link.resolve() == programs / "google-chrome"


def test_a_tag_publishes_by_trusted_publishing():
    jobs = yaml.safe_load((WORKFLOWS / "publish.yml").read_text("utf-8"))["jobs"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert "password" not in (WORKFLOWS / "publish.yml").read_text("utf-8")
    assert {"run": "make dist"} in jobs["build"]["steps"]


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert f'version = "{cited["version"]}"' in PYPROJECT


def test_containers_are_well_formed():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    assert all(service["volumes"] == ["./:/data"] for service in services.values())
    json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
