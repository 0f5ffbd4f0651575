"""Make the screenshots of the documentation with headless Chromium.

    python docs/screenshots.py

Writes docs/images/*.png: the report of the README's first run, and the comparison of three short
runs in light and dark colours and on a phone. Takes about four minutes on two cores.
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
SCREENSHOTS = {
    "report": ("runs/quickstart/report.html", "1180,1500", ()),
    "comparison": ("comparison.html", "1180,1500", ()),
    "comparison-dark": ("comparison.html", "1180,1500", (DARK,)),
    "comparison-phone": ("comparison.html", "500,1500", ()),
}
"""Page, size of the window in pixels, and options of Chromium, by name of the picture."""


def run_ssl_host(*arguments: str, cwd: Path) -> None:
    """Run the command ``ssl-host``; raise if it fails."""
    subprocess.run([sys.executable, "-m", "ssl_host", *arguments], cwd=cwd, check=True)


def take_screenshot(page: Path, picture: Path, window: str, options: tuple[str, ...] = ()) -> None:
    """Write a screenshot of a page as PNG, in a window of the given size."""
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
    """Run the examples and write all screenshots."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_ssl_host("run", str(QUICKSTART), "-o", f"run.dir={folder / 'runs'}", cwd=folder)
        for method in METHODS:
            (folder / f"{method}.ini").write_text(INI.format(method=method), encoding="utf-8")
            run_ssl_host("run", f"{method}.ini", cwd=folder)
        run_ssl_host("report", *(f"runs/{method}" for method in METHODS), cwd=folder)
        for picture, (page, window, options) in SCREENSHOTS.items():
            take_screenshot(folder / page, IMAGES / f"{picture}.png", window, options)


if __name__ == "__main__":
    main()
