"""Every command, INI block and Python block of README and docs is run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "plugins").glob("*/README.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
# What a reader runs for hours is run for seconds here; nothing else differs.
SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
SHORT = (
    *("-o", "run.epochs=1", "-o", "evaluator.linear.epochs=1"),
    # Two tests run side by side: more threads than cores are slower than one.
    *("-o", "trainer.num_threads=1"),
)


def with_blocks():
    return [d for d in DOCUMENTS if BLOCK.search(d.read_text(encoding="utf-8"))]


def test_every_block_says_what_it_is():
    for document in DOCUMENTS:
        for language, _ in BLOCK.findall(document.read_text(encoding="utf-8")):
            assert language in {"sh", "ini", "python", "toml", "text", "json"}, document


@pytest.mark.parametrize("document", with_blocks(), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_blocks_of_a_document_work(document, tmp_path):
    """In the order of the document, in one folder, as its reader would."""
    for i in range(340):
        name = tmp_path / "flowers" / ("rose" if i % 2 else "tulip") / f"{i}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 40), 20 + i % 100).convert("RGB").save(name)
    for language, shown in BLOCK.findall(document.read_text(encoding="utf-8")):
        text = SNIPPET.sub(lambda m: (ROOT / m[1]).read_text(encoding="utf-8"), shown)
        if language == "ini":
            title = re.match(r"# (\S+\.ini)\n", text)
            assert title, f"an INI block begins with its file's name: {text[:40]!r}"
            (tmp_path / title[1]).write_text(text, encoding="utf-8")
            run([sys.executable, "-m", "ssl_host", "config", "check", title[1]], tmp_path)
        elif language == "python":
            run([sys.executable, "-c", text], tmp_path)
        elif language == "sh":
            for line in text.replace("\\\n", " ").splitlines():
                command(shlex.split(line, comments=True), tmp_path)


def command(words, folder):
    if not words:
        return
    if words[0] == "make":
        assert words[1] in TARGETS, f"make {words[1]}: no such target"
    elif words[:3] == ["pip", "install", "-e"]:
        # Into a folder of the test's own, which stands for the environment of the reader.
        site = ["--no-deps", "--no-build-isolation", "--target", str(folder / "site")]
        run([sys.executable, "-m", "pip", "install", "--quiet", *site, words[3]], folder)
    elif words[:2] == ["pip", "install"]:
        for name in words[2:]:
            if name.startswith("ssl-plugin-"):
                assert (ROOT / "plugins" / name).is_dir(), name
    elif words[0] == "pytest":
        run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words[1:]], folder)
    else:
        assert words[0] == "ssl-host", f"a command that no test runs: {words}"
        short = SHORT if words[1] == "run" and "--dry-run" not in words else ()
        run([sys.executable, "-m", "ssl_host", *words[1:], *short], folder)


def run(words, folder):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder / "cache")}
    env["PYTHONPATH"] = str(folder / "site")
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, env=env, timeout=300, check=False
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
