"""New plugins of every kind: written, checked, installed and run as their authors would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_host.catalog.catalog import Catalog
from ssl_host.contracts.kinds import KINDS
from ssl_host.errors import PluginError, UserError
from ssl_host.scaffold.new import plan, write
from tests.wheels import install

BIN = Path(sys.executable).parent
EXAMPLE = Path(__file__).parents[2] / "examples" / "ssl-plugin-vicreg"
LONG = "a-name-that-is-as-long-as-anybody-would-want-it"
# Names whose class would hide what it inherits from or uses, or is no class's name at all.
ODD = [("loss", "loss"), ("tensor", "backbone"), ("none", "head"), ("2views", "augmentation")]
# In one process, for importing torch takes longer than most commands.
COMMANDS = """
import sys
from ssl_host.cli import main
for command in sys.argv[1:]:
    try:
        main(command.split())
    except SystemExit as end:
        assert not end.code, command
"""


def make(name, kind, parent, catalog=None):
    new = plan(name, kind, catalog or Catalog())
    return new, write(new, parent)[0]


def python(arguments, env, cwd):
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
    """A plugin of every kind, all in one environment: its variables, and their folders by kind."""
    parent = tmp_path_factory.mktemp("installed")
    catalog = Catalog()
    folders = {kind: make(f"trial-{kind}", kind, parent, catalog)[1] for kind in KINDS}
    for folder in folders.values():
        env = install(folder, parent / "site")
    return env, folders


def test_every_kind_is_listed_valid_and_makes_its_first_steps(installed, tmp_path):
    env, folders = installed
    commands = ["component list"]
    for kind, folder in folders.items():
        commands += [
            f"component show {kind} trial_{kind}",
            f"config check {folder}/config.ini",
            f"run {folder}/config.ini -o run.epochs=1 --dry-run",
        ]
    done = python(["-c", COMMANDS, *commands], env, tmp_path)
    assert done.returncode == 0, done.stderr
    for kind, folder in folders.items():
        assert f"{KINDS[kind].example}  (ssl-plugin-trial-{kind} 0.1.0)" in done.stdout
        assert f"{folder}/config.ini: valid, run 'trial_{kind}'" in done.stdout


def test_every_kind_passes_its_own_tests(installed, tmp_path):
    env, folders = installed
    others = [str(folder) for kind, folder in folders.items() if kind != "method"]
    arguments = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", os.devnull]
    done = python(["-m", "pytest", *arguments, "--rootdir", "/", *others], env, tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_new_method_passes_its_tests_and_learns(installed, tmp_path):
    """In its folder and by its own settings, as its author would."""
    env, folders = installed
    done = python(["-m", "pytest", "-p", "no:cacheprovider"], env, folders["method"])
    assert done.returncode == 0, done.stdout
    run = ["-m", "ssl_host", "run", str(folders["method"] / "config.ini")]
    done = python(run, env, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Every accuracy beats its three baselines." in done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A plugin of every kind, and those with odd names."""
    parent = tmp_path_factory.mktemp("made")
    catalog = Catalog()
    names = [(f"{n}-{kind}", kind) for kind in KINDS for n in ("x", LONG)]
    return [make(name, kind, parent, catalog) for name, kind in names + ODD]


def test_ruff_finds_nothing(made):
    folders = [str(folder) for _, folder in made]
    for arguments in (["check"], ["format", "--check"]):
        command = [str(BIN / "ruff"), *arguments, "--no-cache", *folders]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_mypy_finds_nothing(made, tmp_path):
    """In one go, by the settings of one: those of all are the same but for the folder's name."""
    packages = [folder / new.module for new, folder in made] + [EXAMPLE / "ssl_plugin_vicreg"]
    settings = set()
    for package in packages:
        project = (package.parent / "pyproject.toml").read_text("utf-8")
        settings.add(project.partition("[tool.mypy]")[2].replace(package.name, "MODULE"))
    assert settings == {'\nstrict = true\nfiles = ["MODULE"]\nplugins = ["pydantic.mypy"]\n'}
    arguments = ["--config-file", packages[0].parent / "pyproject.toml", "--cache-dir", tmp_path]
    done = python(["-m", "mypy", *map(str, arguments + packages)], {}, tmp_path)
    assert done.returncode == 0, done.stdout


def test_a_class_hides_nothing_that_its_file_uses(made):
    found = {new.name: (folder / new.module / f"{new.kind}.py") for new, folder in made}
    assert "class MyLoss(Loss):" in found["loss"].read_text("utf-8")
    assert "class MyTensor(Backbone):" in found["tensor"].read_text("utf-8")
    assert "class MyNone(Head):" in found["none"].read_text("utf-8")
    assert "class My2views(Augmentation):" in found["2views"].read_text("utf-8")
    assert "class XMethod(Method):" in found["x_method"].read_text("utf-8")


def test_the_wheel_is_ready_for_an_index_and_holds_the_package_alone(tmp_path):
    _, folder = make("trial", "loss", tmp_path)
    install(folder, tmp_path / "site")
    wheel = tmp_path / "site" / "ssl_plugin_trial-0.1.0-py3-none-any.whl"
    done = python(["-m", "twine", "check", "--strict", str(wheel)], {}, tmp_path)
    assert done.returncode == 0, done.stdout
    found = {p.relative_to(tmp_path / "site").as_posix() for p in (tmp_path / "site").rglob("*.py")}
    assert found == {"ssl_plugin_trial/__init__.py", "ssl_plugin_trial/loss.py"}
    assert (tmp_path / "site" / "ssl_plugin_trial" / "py.typed").exists()


WRITTEN = """\
the package is called ssl-plugin-my-idea: plugins' names begin so
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


def test_the_command_says_what_it_wrote_and_what_comes_next(ssl_host, tmp_path):
    done = ssl_host("plugin", "new", "my-idea")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == WRITTEN.format(dir="", dot="./")
    elsewhere = ssl_host("plugin", "new", "ssl-plugin-my-idea", "--dir", "some/place")
    first, rest = WRITTEN.split("\n", 1)
    assert "is called" in first
    assert elsewhere.stdout == rest.format(dir="some/place/", dot="./some/place/")
    assert (tmp_path / "some/place/ssl-plugin-my-idea/config.ini").exists()


def test_other_kinds_need_a_method_to_work_with(ssl_host, tmp_path):
    done = ssl_host("plugin", "new", "mine", "--kind", "loss")
    assert "  pip install -e ./ssl-plugin-mine pytest ssl-plugin-simclr\n" in done.stdout
    project = (tmp_path / "ssl-plugin-mine" / "pyproject.toml").read_text("utf-8")
    assert '    "ssl-plugin-simclr>=0.1,<1", # the method of config.ini\n' in project


def test_the_command_refuses_in_one_line(ssl_host, tmp_path):
    (tmp_path / "ssl-plugin-mine").mkdir()
    (tmp_path / "ssl-plugin-mine" / "thesis.txt").write_text("years of work", "utf-8")
    done = ssl_host("plugin", "new", "mine", "--kind", "loss")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "ssl-plugin-mine holds files already; remove it, or choose another place by --dir\n"
    )
    assert [p.name for p in (tmp_path / "ssl-plugin-mine").iterdir()] == ["thesis.txt"]


RULE = (
    "'{}' cannot be a plugin's name: ssl-plugin- is followed by lower-case letters and digits, "
    "in words joined by single hyphens; take {}"
)


@pytest.mark.parametrize(
    ("name", "better"),
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
def test_a_name_that_cannot_be_is_refused_with_one_that_can(name, better, catalog):
    with pytest.raises(UserError) as caught:
        plan(name, "method", catalog)
    assert str(caught.value) == RULE.format(name, better)
    assert plan(better, "method", catalog).distribution == better


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "mine",
            "metod",
            f"unknown kind 'metod'; did you mean 'method'?; kinds are {', '.join(KINDS)}",
        ),
        (
            "nt-xent",
            "loss",
            "loss 'nt_xent' is registered by ssl-host 0.1.0 already, and two of one name exclude "
            "each other; take another name",
        ),
        (
            "ssl-plugin-timm",
            "loss",
            "ssl-plugin-timm 0.1.0 is installed as plugin 'timm' already, and ssl-plugin-timm "
            "would take its place; take another name",
        ),
        (
            "builtin",
            "head",
            "ssl-host 0.1.0 is installed as plugin 'builtin' already, and ssl-plugin-builtin "
            "would take its place; take another name",
        ),
    ],
)
def test_what_is_taken_or_unknown_is_refused(name, kind, message, catalog):
    with pytest.raises(UserError) as caught:
        plan(name, kind, catalog)
    assert str(caught.value) == message
    assert isinstance(caught.value, PluginError) == ("already" in message)


def test_a_place_that_cannot_be_written_is_named(tmp_path, catalog):
    new = plan("mine", "loss", catalog)
    (tmp_path / "ssl-plugin-mine").write_text("a file", "utf-8")
    with pytest.raises(UserError) as caught:
        write(new, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/ssl-plugin-mine is a file; remove it, or choose another place by --dir"
    )
    with pytest.raises(UserError) as caught:
        write(new, tmp_path / "ssl-plugin-mine")
    assert str(caught.value) == (
        f"{tmp_path}/ssl-plugin-mine/ssl-plugin-mine cannot be written: Not a directory; "
        "choose another place by --dir"
    )


def test_an_empty_folder_is_taken(tmp_path, catalog):
    (tmp_path / "ssl-plugin-mine").mkdir()
    folder, files = write(plan("mine", "loss", catalog), tmp_path)
    assert all((folder / file).exists() for file in files)


def test_writing_a_plugin_imports_no_torch(tmp_path):
    code = "import sys; from ssl_host.cli import main\ntry: main(sys.argv[1:])\nfinally: "
    code += "assert 'torch' not in sys.modules"
    done = python(["-c", code, "plugin", "new", "mine"], {}, tmp_path)
    assert done.returncode == 0, done.stderr
