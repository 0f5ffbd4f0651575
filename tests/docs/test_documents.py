"""Run every command, INI block and Python block of README and docs."""

import contextlib
import importlib
import io
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import importlib_metadata
import pytest
from PIL import Image
from sklearn import datasets
from sklearn.utils import Bunch

from ssl_host.builtin.sources import mnist5k
from ssl_host.testing import run_command
from tests.processes import run_module

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "plugins").glob("*/README.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
# A reader runs these for hours, the test for seconds; nothing else differs.
ONE_EPOCH = ("-o", "run.epochs=1")
QUICK_STEPS = ("-o", "run.batch_size=32")  # a dry run times a dozen of them
SHORT = (
    *("-o", "evaluator.linear.epochs=1"),
    # Two tests run at the same time: more threads than cores are slower than one.
    *("-o", "trainer.num_threads=1"),
)


def with_blocks():
    return [d for d in DOCUMENTS if BLOCK.search(d.read_text(encoding="utf-8"))]


def test_every_block_names_its_language():
    for document in DOCUMENTS:
        for language, _ in BLOCK.findall(document.read_text(encoding="utf-8")):
            assert language in {"sh", "ini", "python", "toml", "text", "json"}, document


@pytest.fixture
def few_digits(monkeypatch):
    """Leave a few of the digits of each class: what a document says is the same for fewer."""
    pixels, labels = mnist5k.read_digits()
    monkeypatch.setattr(mnist5k, "read_digits", lambda: (pixels[::10], labels[::10]))
    digits = datasets.load_digits()
    few = Bunch(images=digits.images[::7], target=digits.target[::7])
    monkeypatch.setattr(datasets, "load_digits", lambda: few)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make and enter the folder of a document's reader; what is installed in ``site`` is found."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    importlib_metadata.MetadataPathFinder.invalidate_caches()


@pytest.mark.usefixtures("few_digits")
@pytest.mark.parametrize("document", with_blocks(), ids=lambda p: str(p.relative_to(ROOT)))
def test_document_blocks_run_in_order(document, folder):
    for i in range(340):
        name = folder / "flowers" / ("rose" if i % 2 else "tulip") / f"{i}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 40), 20 + i % 100).convert("RGB").save(name)
    for language, shown in BLOCK.findall(document.read_text(encoding="utf-8")):
        text = SNIPPET.sub(lambda m: (ROOT / m[1]).read_text(encoding="utf-8"), shown)
        if language == "ini":
            title = re.match(r"# (\S+\.ini)\n", text)
            assert title, f"an INI block begins with its file's name: {text[:40]!r}"
            (folder / title[1]).write_text(text, encoding="utf-8")
            ssl_host("config", "check", title[1], cwd=folder)
        elif language == "python":
            (folder / "block.py").write_text(text, encoding="utf-8")
            with contextlib.redirect_stdout(io.StringIO()):
                runpy.run_path(str(folder / "block.py"), run_name="__main__")
        elif language == "sh":
            for line in text.replace("\\\n", " ").splitlines():
                command(shlex.split(line, comments=True), folder)


def command(words, folder):
    """Run one line of a shell block."""
    if not words:
        return
    if words[0] == "make":
        assert words[1] in TARGETS, f"make {words[1]}: no such target"
    elif words[:3] == ["pip", "install", "-e"]:
        # Into a folder that stands for the reader's environment.
        site = ["--no-deps", "--no-build-isolation", "--target", str(folder / "site")]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", *site, words[3]]
        done = subprocess.run(pip, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        importlib.invalidate_caches()
        importlib_metadata.MetadataPathFinder.invalidate_caches()
    elif words[:2] == ["pip", "install"]:
        for name in words[2:]:
            if name.startswith("ssl-plugin-"):
                assert (ROOT / "plugins" / name).is_dir(), name
    elif words[0] == "pytest":
        site = {"PYTHONPATH": str(folder / "site")}
        options = ("-p", "no:cacheprovider", *words[1:])
        done = run_module("pytest", *options, environment=site, cwd=folder)
        assert done.returncode == 0, done.stdout
    else:
        assert words[0] == "ssl-host", f"a command that no test runs: {words}"
        short = epochs = ()
        if words[1] == "run":
            short = QUICK_STEPS if "--dry-run" in words else SHORT
            epochs = () if {"--dry-run", "--more-epochs"} & {*words} else ONE_EPOCH
        ssl_host(*words[1:], *short, *epochs, cwd=folder)


def ssl_host(*arguments, cwd):
    """Run a command of a document, which must succeed."""
    done = run_command(*arguments, cwd=cwd)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
