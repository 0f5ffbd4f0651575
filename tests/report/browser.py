"""Headless Chromium for tests of pages."""

from __future__ import annotations

import subprocess
from pathlib import Path


def open_page(page: Path, profile: Path, width: int = 1280) -> subprocess.CompletedProcess:
    """Return the page's document after its scripts have run; console errors are in stderr."""
    return subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *("--virtual-time-budget=2000", f"--user-data-dir={profile}", "--dump-dom"),
            f"--window-size={width},1600",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
