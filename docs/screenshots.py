"""The pictures of the documentation: runs, their pages, and headless Chromium.

    python docs/screenshots.py

Writes docs/images/*.png: the report of the README's first run, and the comparison of three short
ones in light and dark and as a phone shows it. About four minutes on two cores.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart.ini"
INI = """
[run]
extends = {method}/mnist5k
epochs = 6
seed = 0
[evaluator.knn]
[evaluator.linear]
[evaluator.rankme]
"""
METHODS = ("simclr", "barlowtwins", "byol")
DARK = "--blink-settings=preferredColorScheme=0"
SHOTS = {
    "report": ("runs/quickstart/report.html", "1180,1500", ()),
    "comparison": ("comparison.html", "1180,1500", ()),
    "comparison-dark": ("comparison.html", "1180,1500", (DARK,)),
    "comparison-phone": ("comparison.html", "500,1500", ()),
}
"""Page, window in pixels, and further options of Chromium, by picture."""


def command(*arguments: str, cwd: Path) -> None:
    """``ssl-host``, which must succeed."""
    subprocess.run([sys.executable, "-m", "ssl_host", *arguments], cwd=cwd, check=True)


def photograph(page: Path, picture: Path, window: str, options: tuple[str, ...] = ()) -> None:
    """A picture of a page in a window of a size, written as PNG."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--virtual-time-budget=3000", f"--user-data-dir={profile}"),
                *(f"--window-size={window}", f"--screenshot={picture}", *options, page.as_uri()),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command("run", str(QUICKSTART), "-o", f"run.dir={folder / 'runs'}", cwd=folder)
        for method in METHODS:
            (folder / f"{method}.ini").write_text(INI.format(method=method), encoding="utf-8")
            command("run", f"{method}.ini", cwd=folder)
        command("report", *(f"runs/{method}" for method in METHODS), cwd=folder)
        for name, (page, window, options) in SHOTS.items():
            photograph(folder / page, IMAGES / f"{name}.png", window, options)


if __name__ == "__main__":
    main()
