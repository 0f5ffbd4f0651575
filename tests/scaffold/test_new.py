"""Tests of new plugins of every kind: written, checked, installed and run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_host.catalog.catalog import Catalog
from ssl_host.contracts.kinds import KINDS
from ssl_host.errors import PluginError, UserError
from ssl_host.scaffold.new import plan_plugin, write_plugin
from tests.processes import run_module
from tests.wheels import install

BIN = Path(sys.executable).parent
EXAMPLE = Path(__file__).parents[2] / "examples" / "ssl-plugin-mmcr"
LONG = "a-name-that-is-as-long-as-anybody-would-want-it"
LIKE = ("masked", "teacher")
# Names that, as a class, would hide a name of the template or are not valid.
PREFIXED = [("loss", "loss"), ("tensor", "backbone"), ("none", "head"), ("2views", "augmentation")]
QUICK = "-o run.epochs=1 -o run.batch_size=16"
# All in one process, because importing torch takes longer than most commands.
COMMANDS = """
import sys
from ssl_host.cli import main
for command in sys.argv[1:]:
    try:
        main(command.split())
    except SystemExit as end:
        assert not end.code, command
"""


def make(name, kind, parent, catalog=None, like=None):
    new = plan_plugin(name, kind, catalog or Catalog(), like)
    return new, write_plugin(new, parent)[0]


def python(arguments, env, cwd):
    paths = (env.get("PYTHONPATH"), os.environ.get("PYTHONPATH"))
    env = {**env, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "160", **env},
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install a plugin of every kind; return the environment variables and the folders by kind."""
    parent = tmp_path_factory.mktemp("installed")
    catalog = Catalog()
    folders = {kind: make(f"trial-{kind}", kind, parent, catalog)[1] for kind in KINDS}
    methods = [make(f"like-{like}", "method", parent, catalog, like)[1] for like in LIKE]
    for folder in (*folders.values(), *methods):
        env = install(folder, parent / "site")
    return env, folders


def test_new_plugin_of_every_kind_is_listed_and_passes_dry_run(installed, tmp_path):
    env, folders = installed
    commands = ["component list"]
    for kind, folder in folders.items():
        commands += [
            f"component show {kind} trial_{kind}",
            f"config check {folder}/config.ini",
            f"run {folder}/config.ini {QUICK} --dry-run",
        ]
    for like in LIKE:
        config = folders["method"].with_name(f"ssl-plugin-like-{like}") / "config.ini"
        commands += [f"config check {config}", f"run {config} {QUICK} --dry-run"]
    done = python(["-c", COMMANDS, *commands], env, tmp_path)
    assert done.returncode == 0, done.stderr
    for like in LIKE:
        assert f"ssl-plugin-like-{like}/config.ini: valid" in done.stdout
    for kind, folder in folders.items():
        assert f"{KINDS[kind].example}  (ssl-plugin-trial-{kind} 0.1.0)" in done.stdout
        assert f"{folder}/config.ini: valid, run 'trial_{kind}'" in done.stdout


def test_new_plugin_of_every_kind_passes_its_tests(installed, tmp_path):
    env, folders = installed
    others = [str(folder) for kind, folder in folders.items() if kind != "method"]
    others += [str(folders["method"].with_name(f"ssl-plugin-like-{like}")) for like in LIKE]
    arguments = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", os.devnull]
    arguments += ["--rootdir", "/", *others]
    done = run_module("pytest", *arguments, environment=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_new_method_passes_its_tests_and_beats_baselines(installed, tmp_path):
    env, folders = installed
    options = ("-p", "no:cacheprovider")
    done = run_module("pytest", *options, environment=env, cwd=folders["method"])
    assert done.returncode == 0, done.stdout
    run = ("run", folders["method"] / "config.ini")
    done = run_module("ssl_host", *run, environment=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Every metric beats its baselines." in done.stdout


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write plugins of every kind, and plugins with names that need a prefix."""
    parent = tmp_path_factory.mktemp("written")
    catalog = Catalog()
    names = [(f"{n}-{kind}", kind) for kind in KINDS for n in ("x", LONG)]
    methods = [make(f"x-{like}", "method", parent, catalog, like) for like in LIKE]
    return [*methods, *(make(name, kind, parent, catalog) for name, kind in names + PREFIXED)]


def test_new_plugins_pass_ruff(written):
    folders = [str(folder) for _, folder in written]
    for arguments in (["check"], ["format", "--check"]):
        command = [str(BIN / "ruff"), *arguments, "--no-cache", *folders]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_new_plugins_pass_mypy(written, tmp_path):
    """One call for all plugins: their settings differ only in the name of the package."""
    packages = [folder / new.module for new, folder in written] + [EXAMPLE / "ssl_plugin_mmcr"]
    settings = set()
    for package in packages:
        project = (package.parent / "pyproject.toml").read_text("utf-8")
        settings.add(project.partition("[tool.mypy]")[2].replace(package.name, "MODULE"))
    assert settings == {'\nstrict = true\nfiles = ["MODULE"]\nplugins = ["pydantic.mypy"]\n'}
    # A cache of its own, for these settings; `make test` keeps it next to that of the repository.
    cache = f"{os.environ.get('MYPY_CACHE_DIR', tmp_path / 'mypy')}-new-plugins"
    arguments = ["--config-file", packages[0].parent / "pyproject.toml", "--cache-dir", cache]
    done = python(["-m", "mypy", *map(str, arguments + packages)], {}, tmp_path)
    assert done.returncode == 0, done.stdout


def test_class_name_used_in_template_gets_prefix(written):
    files = {new.name: (folder / new.module / f"{new.kind}.py") for new, folder in written}
    assert "class MyLoss(Loss):" in files["loss"].read_text("utf-8")
    assert "class MyTensor(Backbone):" in files["tensor"].read_text("utf-8")
    assert "class MyNone(Head):" in files["none"].read_text("utf-8")
    assert "class My2views(Augmentation):" in files["2views"].read_text("utf-8")
    assert "class XMethod(Method):" in files["x_method"].read_text("utf-8")


def test_wheel_of_new_plugin_passes_twine_and_has_only_the_package(tmp_path):
    _, folder = make("trial", "loss", tmp_path)
    install(folder, tmp_path / "site")
    wheel = tmp_path / "site" / "ssl_plugin_trial-0.1.0-py3-none-any.whl"
    done = python(["-m", "twine", "check", "--strict", str(wheel)], {}, tmp_path)
    assert done.returncode == 0, done.stdout
    site = tmp_path / "site"
    files = {p.relative_to(site).as_posix() for p in site.rglob("*.py")}
    assert files == {"ssl_plugin_trial/__init__.py", "ssl_plugin_trial/loss.py"}
    assert (tmp_path / "site" / "ssl_plugin_trial" / "py.typed").exists()


OUTPUT = """\
written to {dir}ssl-plugin-my-idea:
  .gitignore
  README.md
  config.ini
  pyproject.toml
  ssl_plugin_my_idea/__init__.py
  ssl_plugin_my_idea/method.py
  ssl_plugin_my_idea/py.typed
  tests/test_my_idea.py

next:
  pip install -e {dot}ssl-plugin-my-idea pytest
  pytest {dir}ssl-plugin-my-idea
  ssl-host component show method my_idea
  ssl-host run {dir}ssl-plugin-my-idea/config.ini
"""


def test_plugin_new_lists_files_and_next_commands(ssl_host, tmp_path):
    done = ssl_host("plugin", "new", "my-idea")
    assert (done.returncode, done.stderr) == (0, "")
    first, rest = done.stdout.split("\n", 1)
    assert "ssl-plugin-my-idea" in first  # the prefix was added
    assert rest == OUTPUT.format(dir="", dot="./")
    elsewhere = ssl_host("plugin", "new", "ssl-plugin-my-idea", "--dir", "some/place")
    assert elsewhere.stdout == OUTPUT.format(dir="some/place/", dot="./some/place/")
    assert (tmp_path / "some/place/ssl-plugin-my-idea/config.ini").exists()


def test_plugin_new_for_other_kinds_requires_a_method(ssl_host, tmp_path):
    done = ssl_host("plugin", "new", "mine", "--kind", "loss")
    assert "  pip install -e ./ssl-plugin-mine pytest ssl-plugin-simclr\n" in done.stdout
    project = (tmp_path / "ssl-plugin-mine" / "pyproject.toml").read_text("utf-8")
    assert '    "ssl-plugin-simclr>=0.1,<1", # the SSL method in config.ini\n' in project


def test_plugin_new_with_existing_folder_fails_and_keeps_it(ssl_host, tmp_path):
    (tmp_path / "ssl-plugin-mine").mkdir()
    (tmp_path / "ssl-plugin-mine" / "thesis.txt").write_text("years of work", "utf-8")
    done = ssl_host("plugin", "new", "mine", "--kind", "loss")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "ssl-plugin-mine is not empty" in done.stderr
    assert "--dir" in done.stderr
    assert [p.name for p in (tmp_path / "ssl-plugin-mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("My Idea", "ssl-plugin-my-idea"),
        ("ssl_plugin_my_idea", "ssl-plugin-my-idea"),
        ("ssl-plugin-NNCLR2", "ssl-plugin-nnclr2"),
        ("two--hyphens", "ssl-plugin-two-hyphens"),
        ("../../etc", "ssl-plugin-etc"),
        ("ssl-plugin-", "ssl-plugin-my-idea"),
        ("", "ssl-plugin-my-idea"),
        ("méthode", "ssl-plugin-m-thode"),
    ],
)
def test_plan_with_invalid_name_suggests_a_valid_one(name, suggestion, catalog):
    with pytest.raises(UserError) as caught:
        plan_plugin(name, "method", catalog)
    assert f"'{name}' is not a valid plugin name" in str(caught.value)
    assert str(caught.value).endswith(f"use {suggestion}")
    assert plan_plugin(suggestion, "method", catalog).distribution == suggestion


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "mine",
            "metod",
            "unknown kind 'metod'; did you mean 'method'?",
        ),
        (
            "nt-xent",
            "loss",
            "loss 'nt_xent' is already registered by ssl-host 0.1.0",
        ),
        (
            "ssl-plugin-timm",
            "loss",
            "ssl-plugin-timm 0.1.0 is already installed as plugin 'timm'",
        ),
        (
            "builtin",
            "head",
            "ssl-host 0.1.0 is already installed as plugin 'builtin'",
        ),
    ],
)
def test_plan_with_used_name_or_unknown_kind_raises(name, kind, message, catalog):
    with pytest.raises(UserError) as caught:
        plan_plugin(name, kind, catalog)
    assert message in str(caught.value)
    assert isinstance(caught.value, PluginError) == ("already" in message)


def test_write_to_unwritable_folder_raises_with_its_path(tmp_path, catalog):
    new = plan_plugin("mine", "loss", catalog)
    (tmp_path / "ssl-plugin-mine").write_text("a file", "utf-8")
    with pytest.raises(UserError) as caught:
        write_plugin(new, tmp_path)
    assert f"{tmp_path}/ssl-plugin-mine is a file" in str(caught.value)
    with pytest.raises(UserError) as caught:
        write_plugin(new, tmp_path / "ssl-plugin-mine")
    folder = f"{tmp_path}/ssl-plugin-mine/ssl-plugin-mine"
    assert f"cannot write {folder}: Not a directory" in str(caught.value)


def test_write_into_existing_empty_folder_succeeds(tmp_path, catalog):
    (tmp_path / "ssl-plugin-mine").mkdir()
    folder, files = write_plugin(plan_plugin("mine", "loss", catalog), tmp_path)
    assert all((folder / file).exists() for file in files)


def test_plugin_new_imports_no_torch(tmp_path):
    code = "import sys; from ssl_host.cli import main\ntry: main(sys.argv[1:])\nfinally: "
    code += "assert 'torch' not in sys.modules"
    done = python(["-c", code, "plugin", "new", "mine"], {}, tmp_path)
    assert done.returncode == 0, done.stderr
