"""Measures the rules of ``ssl-host init`` on sets of images, beside the presets for folders.

    python benchmarks/recipes/measure_folders.py DIR [--methods simclr,vicreg] [--sets elpv.csv]

DIR is the folder that ``folders.py`` has written. For each set and method, ``ssl-host init`` writes
a configuration for a run of a few minutes, which is trained with each seed; then the preset
``METHOD/imagefolder`` with the same backbone, image size and number of epochs. A run that has
finished is not repeated. DIR/results.jsonl has a row for each run: figures and their baselines.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssl_host import Catalog, resolve_file

SETS = ("digits", "mnist", "scenes", "elpv.csv", "stamps.csv")
METHODS = (
    "simclr",
    "mocov2",
    "nnclr",
    "simsiam",
    "byol",
    "vicreg",
    "barlowtwins",
    "swav",
    "dino",
    "mae",
)
FIGURES = ("linear.top1", "knn.top1", "few_label.10.top1", "rankme")


def ssl_host(*arguments: object, log: Path) -> bool:
    """Run the command with its output in a file; return True if it succeeds."""
    command = [sys.executable, "-m", "ssl_host", *map(str, arguments)]
    with log.open("w", encoding="utf-8") as out:
        return subprocess.run(command, stdout=out, stderr=out, check=False).returncode == 0


def write_preset(config_file: Path, file: Path) -> None:
    """Write the configuration of a method's preset with the data and the length of another file."""
    config = resolve_file(config_file, [], Catalog())
    method = config.components["method"].name
    run = {"name": file.stem, "extends": f"{method}/imagefolder", "epochs": config.run.epochs}
    sections: dict[str, dict[str, Any]] = {"run": run}
    for section in ("data", "backbone"):
        entries = {key: entry for (s, key), entry in config.entries.items() if s == section}
        sections[section] = {k: e.value for k, e in entries.items() if e.origin.layer == "file"}
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    file.write_text("\n".join(lines), encoding="utf-8")


def configurations(folder: Path, images: str, method: str, time: str) -> Iterator[tuple[str, Path]]:
    """Yield the kinds and files of the configurations for a set and a method; write new ones."""
    name = f"{Path(images).stem}-{method}"
    chosen, preset = folder / f"{name}-init.ini", folder / f"{name}-preset.ini"
    if not chosen.is_file():
        arguments = ("init", folder / images, "-m", method, "--time", time, "-c", chosen)
        if not ssl_host(*arguments, log=folder / f"{name}-init.log"):
            print(f"{name}: init failed, see {name}-init.log", flush=True)
            return
        write_preset(chosen, preset)
    yield "init", chosen
    yield "preset", preset


def measure(config: Path, seed: int) -> dict[str, Any] | None:
    """Train a configuration with a seed, unless this is done; return its figures or None."""
    name = f"{config.stem}-{seed}"
    options = (f"run.seed={seed}", f"run.name={name}", f"run.dir={config.parent / 'runs'}")
    arguments = [word for option in options for word in ("-o", option)]
    results = config.parent / "runs" / name / "results.json"
    if not results.is_file() and not ssl_host(
        "run", config, *arguments, log=config.with_name(f"{name}.log")
    ):
        return None
    found = json.loads(results.read_text("utf-8"))
    metrics = found["metrics"]
    shown = {
        name: value
        for name, value in metrics.items()
        if name.endswith(FIGURES) and value is not None
    }
    return {"epochs": found["epochs"], "seconds": found["wall_time_s"], "metrics": shown}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--time", default="5m", help="time for each run, as for ssl-host init")
    options = parser.parse_args()
    rows = []
    for images in options.sets.split(","):
        for method in options.methods.split(","):
            for kind, config in configurations(options.folder, images, method, options.time):
                for seed in map(int, options.seeds.split(",")):
                    row = {"set": Path(images).stem, "method": method, "by": kind, "seed": seed}
                    figures = measure(config, seed)
                    rows.append(row | (figures or {"metrics": {}}))
                    print(json.dumps(rows[-1]), flush=True)
                    text = "".join(json.dumps(each) + "\n" for each in rows)
                    (options.folder / "results.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
