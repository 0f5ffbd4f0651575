"""What ``make dist`` builds: the metadata, what is inside, and an installation from nothing."""

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from trove_classifiers import classifiers

import ssl_host
from tests.conftest import as_ini, tiny

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(folder.name for folder in (ROOT / "plugins").glob("ssl-plugin-*"))
DISTRIBUTIONS = ["ssl-host", *PLUGINS]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder outside the repository that holds dist/."""
    place = tmp_path_factory.mktemp("place")
    venv = Path(sys.prefix)
    # What is tested is what is installed already: make is not to install anything anew.
    old = ["-o", f"{venv}/.installed-test", f"VENV={venv}"]
    done = subprocess.run(
        ["make", "-s", "dist", f"DIST={place / 'dist'}", *old],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def wheel(place, distribution):
    (found,) = (place / "dist").glob(f"{distribution.replace('-', '_')}-*.whl")
    return zipfile.ZipFile(found)


def info(place, distribution, file):
    archive = wheel(place, distribution)
    (name,) = [n for n in archive.namelist() if n.endswith(f".dist-info/{file}")]
    return archive.read(name).decode()


def metadata(place, distribution):
    return Parser().parsestr(info(place, distribution, "METADATA"))


def test_there_is_a_wheel_of_each_and_the_hosts_source(place):
    found = sorted(path.name for path in (place / "dist").iterdir())
    wheels = [f"{name.replace('-', '_')}-0.1.0-py3-none-any.whl" for name in DISTRIBUTIONS]
    assert found == sorted([*wheels, "ssl_host-0.1.0.tar.gz"])


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_metadata_is_what_an_index_shows(place, distribution):
    found = metadata(place, distribution)
    assert found["Name"] == distribution
    assert found["Version"] == ssl_host.__version__
    assert 20 < len(found["Summary"]) < 200
    assert found["License-Expression"] == "MIT"
    assert found["Requires-Python"] == ">=3.10"
    assert found["Description-Content-Type"] == "text/markdown"
    assert found.get_payload().strip().startswith(f"# {distribution}")
    assert set(found.get_all("Classifier")) <= classifiers
    assert "Typing :: Typed" in found.get_all("Classifier")
    urls = found.get_all("Project-URL", [])
    assert all(re.fullmatch(r"[A-Z][a-z]+, https://\S+", url) for url in urls)


@pytest.mark.parametrize("distribution", PLUGINS)
def test_a_plugins_page_has_no_link_that_leads_nowhere(place, distribution):
    text = metadata(place, distribution).get_payload()
    assert re.findall(r"\]\((?!https://)[^)]*\)", text) == []


@pytest.mark.parametrize("distribution", PLUGINS)
def test_a_plugin_asks_for_a_host_that_it_works_with(place, distribution):
    """From the release that it was made with to the next one that may break it."""
    asked = [Requirement(r) for r in metadata(place, distribution).get_all("Requires-Dist")]
    ours = [r for r in asked if r.name in DISTRIBUTIONS]
    assert "ssl-host" in [r.name for r in ours]
    major = int(ssl_host.__version__.split(".")[0])
    for requirement in ours:
        assert ssl_host.__version__ in requirement.specifier
        assert "0.0.9" not in requirement.specifier
        assert f"{major + 1}.0" not in requirement.specifier


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_wheel_holds_the_package_and_all_its_files(place, distribution):
    module = distribution.replace("-", "_")
    found = {n for n in wheel(place, distribution).namelist() if ".dist-info/" not in n}
    source = (ROOT if distribution == "ssl-host" else ROOT / "plugins" / distribution) / module
    expected = {
        path.relative_to(source.parent).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert found == expected
    assert f"{module}/py.typed" in found
    assert not any("/tests/" in name or name.startswith("tests") for name in found)
    entry = "builtin" if distribution == "ssl-host" else distribution.removeprefix("ssl-plugin-")
    entry = entry.replace("-", "_")
    points = info(place, distribution, "entry_points.txt")
    target = "ssl_host.builtin" if distribution == "ssl-host" else module
    assert f"[ssl_host]\n{entry} = {target}\n" in points


def test_the_hosts_wheel_has_its_templates_command_and_licence(place):
    names = wheel(place, "ssl-host").namelist()
    assert "ssl_host/report/templates/run.html" in names
    assert "ssl_host/scaffold/templates/method.py.jinja" in names
    assert "ssl-host = ssl_host.cli:main" in info(place, "ssl-host", "entry_points.txt")
    assert "MIT" in info(place, "ssl-host", "licenses/LICENSE")


METHODS = [
    f"ssl-plugin-{name}" for name in ("barlowtwins", "byol", "mocov2", "nnclr", "simclr", "simsiam")
]


@pytest.mark.parametrize("distribution", METHODS)
def test_a_methods_wheel_has_its_presets(place, distribution):
    found = [n for n in wheel(place, distribution).namelist() if "/presets/" in n]
    assert len(found) >= 5
    assert all(name.endswith(".ini") for name in found)


def test_the_source_holds_what_the_wheel_is_made_of_and_no_more(place):
    with tarfile.open(place / "dist" / "ssl_host-0.1.0.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    package = {n for n in wheel(place, "ssl-host").namelist() if ".dist-info/" not in n}
    others = {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml", ".gitignore"}
    assert package <= names
    assert names - package <= others


@pytest.fixture
def fresh_environment(place):
    """Return the ``bin`` folder of an environment with third-party packages, without ours.

    The packages are links into the environment of the tests: torch alone takes 5 GB and minutes.
    """
    third_party = place / "third-party"
    third_party.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("ssl_", "_ssl_", "__editable__")) and entry.suffix != ".pth":
            (third_party / entry.name).symlink_to(entry)
    venv = place / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    # Python before 3.12 adds a setuptools that is too old for torch.
    subprocess.run([venv / "bin" / "pip", "uninstall", "-qy", "setuptools"], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "third-party.pth").write_text(f"{third_party}\n", encoding="utf-8")
    return venv / "bin"


@pytest.mark.slow
def test_pip_install_from_wheels_gives_a_working_command(place, fresh_environment, tmp_path):
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {"OMP_NUM_THREADS": "1", "COLUMNS": "160"}

    def command(words, cwd):
        words = [str(fresh_environment / words[0]), *words[1:]]
        return subprocess.run(
            words, cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False
        )

    install = ["pip", "install", "ssl-plugin-nnclr", "--find-links", "dist", "--no-index"]
    done = command(install, place)
    assert done.returncode == 0, done.stderr
    plugins = json.loads(command(["ssl-host", "plugin", "list", "--json"], tmp_path).stdout)
    assert sorted(p["plugin"] for p in plugins) == ["builtin", "nnclr", "timm"]
    states = {(p["version"], p["state"]) for p in plugins}
    assert states == {(ssl_host.__version__, "ready")}
    config = tiny(method={"name": "nnclr", "queue_size": 16})
    config["head.predictor"] = {"hidden_dim": 32}
    (tmp_path / "tiny.ini").write_text(as_ini(config), encoding="utf-8")
    done = command(["ssl-host", "run", "tiny.ini", "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert (results["method"], results["steps"]) == ("nnclr", 6)
    assert results["metrics"]["rankme"] > 1
    assert (tmp_path / "runs/tiny/report.html").exists()
    done = command(["ssl-host", "plugin", "new", "mine"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ssl-plugin-mine/ssl_plugin_mine/method.py").exists()


NAMES = {
    **{"PIL": "pillow", "sklearn": "scikit-learn"},
    # These come with another declared distribution.
    **{"cv2": "ffcv", "markupsafe": "jinja2", "pydantic_core": "pydantic"},
}
"""Distributions that provide packages of a different name."""


def imported_packages(folder):
    """Return top-level packages that the files of a folder import."""
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_metadata_declares_every_imported_package(place, distribution):
    requirements = metadata(place, distribution).get_all("Requires-Dist", [])
    declared = {Requirement(r).name.lower().replace("_", "-") for r in requirements}
    if distribution != "ssl-host":  # what the host needs comes with it
        host = metadata(place, "ssl-host").get_all("Requires-Dist")
        declared |= {Requirement(r).name.lower() for r in host}
    module = distribution.replace("-", "_")
    source = (ROOT if distribution == "ssl-host" else ROOT / "plugins" / distribution) / module
    for name in set(imported_packages(source)):
        if name in sys.stdlib_module_names or name in (module, "ssl_host", "pytest"):
            continue  # pytest loads the fixtures of the kit
        assert NAMES.get(name, name).lower().replace("_", "-") in declared, name
