"""Check that containers, workflows and the citation match the code."""

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


def test_make_targets_in_containers_and_workflows_exist():
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


def test_workflow_tests_every_python_from_the_oldest():
    matrix = yaml.safe_load((WORKFLOWS / "test.yml").read_text("utf-8"))["jobs"]["test"]
    versions = matrix["strategy"]["matrix"]["python"]
    assert versions == ["3.10", "3.11", "3.12", "3.13"]
    assert f'requires-python = ">={versions[0]}"' in PYPROJECT


def test_workflows_that_run_the_tests_install_a_browser(tmp_path):
    for file in WORKFLOWS.iterdir():
        for job in yaml.safe_load(file.read_text("utf-8"))["jobs"].values():
            steps = [step["run"].split(" #")[0] for step in job["steps"] if "run" in step]
            if "make test" in steps:
                assert "sudo make system" in steps[: steps.index("make test")], file.name
    programs = tmp_path / "bin"  # a machine that has Chrome but no apt
    programs.mkdir()
    for name in ("sh", "ln"):
        (programs / name).symlink_to(shutil.which(name))
    for name, command in (("id", "echo 0"), ("google-chrome", "echo chrome")):
        (programs / name).write_text(f"#!/bin/sh\n{command}\n", "utf-8")
        (programs / name).chmod(0o755)
    link = tmp_path / "chromium"
    make = [shutil.which("make"), "system", f"CHROMIUM={link}"]
    subprocess.run(make, cwd=ROOT, env={"PATH": str(programs)}, check=True)
    assert link.resolve() == programs / "google-chrome"


def test_publish_workflow_uses_trusted_publishing():
    jobs = yaml.safe_load((WORKFLOWS / "publish.yml").read_text("utf-8"))["jobs"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert "password" not in (WORKFLOWS / "publish.yml").read_text("utf-8")
    assert {"run": "make dist"} in jobs["build"]["steps"]


def test_citation_has_the_current_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert f'version = "{citation["version"]}"' in PYPROJECT


def test_container_files_are_valid():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    assert all(service["volumes"] == ["./:/data"] for service in services.values())
    json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
