"""What can be done with a run folder afterwards: measure again, write the page, look at a fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose, compose_method
from ssl_host.config.auto_settings import resolve_auto
from ssl_host.config.resolve import resolve_file
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.logging import Run
from ssl_host.data.datasets import open_datasets
from ssl_host.errors import RunFolderError
from ssl_host.pipeline.run import Outcome, evaluate_network
from ssl_host.report.compare import ComparedRun, labels, write_comparison
from ssl_host.report.images import draw_pictures
from ssl_host.report.page import write_page
from ssl_host.run_folder.folder import RunFolder
from ssl_host.toolkit.atomic_io import report_disk_errors
from ssl_host.toolkit.weights_io import read_tensors, write_tensors
from ssl_host.train.nonfinite import FailedStep, read_failed_step
from ssl_host.weights import load_weights

OTHER_IMAGES = (
    "measured on other images than those of the run: some that are held out now may be among those "
    "it was trained on, and then the figures are too high"
)


def evaluate_run(path: Path, options: Sequence[str], catalog: Catalog, console: Console) -> Outcome:
    """Measure the backbone of a finished run by the evaluators that the options leave or add.

    Raises:
        RunFolderError: when the folder holds no trained backbone.
    """
    config = resolve_auto(_config(path, options, catalog))
    with RunFolder(path) as folder, report_disk_errors(path):
        results = folder.results()
        weights = path / "backbone.safetensors"
        if results is None or not weights.exists():
            raise RunFolderError(f"{path} holds no finished run; `ssl-host run` finishes it")
        experiment = compose(config)
        images = open_datasets(experiment.source, experiment.views, config.loader)
        notes = [OTHER_IMAGES] if folder.images_changed(images.fingerprint()) else []
        encoder = getattr(experiment.method, experiment.method.encoder)
        load_weights(encoder, read_tensors(weights), weights)
        found = evaluate_network(
            experiment,
            images,
            encoder,
            lambda what: console.print(f"measuring: {what}", style="dim"),
            path,
        )
        for stem, tensors in found.artifacts.items():
            write_tensors(path / f"{stem}.safetensors", tensors)
        kept = {
            name: value
            for name, value in results["metrics"].items()
            if name.split(".")[0] in ("online", "throughput") or name.startswith("peak_")
        }
        results = {**results, "metrics": {**kept, **found.metrics}}
        results["notes"] = list(dict.fromkeys([*results["notes"], *notes, *found.notes]))
        folder.write_json(
            "report.json", draw_pictures(experiment.views, images, found.bank, config.run.seed)
        )
        folder.write_json("results.json", results)
        _page(path, results, config, catalog)
    return Outcome(path, results)


def write_run_report(path: Path, catalog: Catalog) -> Path:
    """Write a finished run's page from what its folder holds.

    Raises:
        RunFolderError: when the folder holds no finished run.
    """
    config, results = _finished(path, catalog)
    with report_disk_errors(path):
        return _page(path, results, config, catalog)


def compare_runs(paths: Sequence[Path], output: Path, catalog: Catalog) -> tuple[Path, list[str]]:
    """Write one page that compares finished runs.

    Args:
        paths: of different folders.

    Returns:
        The page, and why folders were left out that hold no finished run.

    Raises:
        RunFolderError: when fewer than two of them do, or the page cannot be written.
    """
    found: dict[Path, tuple[RunConfig, dict[str, Any]]] = {}
    left_out = []
    for path in paths:
        try:
            found[path] = _finished(path, catalog)
        except RunFolderError as error:
            left_out.append(str(error))
    if len(found) < 2:
        told = "\n".join(left_out)
        raise RunFolderError(f"there are not two finished runs to compare:\n{told}")
    runs = [
        ComparedRun(label, path, results, config)
        for label, (path, (config, results)) in zip(labels(list(found)), found.items(), strict=True)
    ]
    try:
        return write_comparison(output, runs), left_out
    except OSError as error:
        raise RunFolderError(f"{output} cannot be written: {error.strerror}") from None


def load_failed_step(path: str | Path) -> FailedStep:
    """The step whose numbers were not finite, from the ``non_finite.ckpt`` of a run.

    ``load_failed_step(path).again()`` computes it once more and gives the
    :class:`~ssl_host.StepOutput`: for ``torch.autograd.detect_anomaly()``, or a debugger.

    Raises:
        UserError: when it is not in a run's folder, or the run's plugins are not installed.
        CheckpointError: when the file is damaged.
    """
    file = Path(path)
    # Wherever it ran: the step is computed here, on a CPU.
    options = ("trainer.accelerator=cpu", "trainer.devices=1", "trainer.num_nodes=1")
    config = resolve_auto(_config(file.parent, options, Catalog()))
    return read_failed_step(file, lambda channels, size: compose_method(config, channels, size))


def _finished(path: Path, catalog: Catalog) -> tuple[RunConfig, dict[str, Any]]:
    results = RunFolder(path).finished()
    return _config(path, (), catalog), results


def _config(path: Path, options: Sequence[str], catalog: Catalog) -> RunConfig:
    config = resolve_file(RunFolder(path).stored_config(), options, catalog)
    return replace(config, notes=())


def _page(path: Path, results: dict[str, Any], config: RunConfig, catalog: Catalog) -> Path:
    run = Run(config.run.name, path, config.run.seed, config.values())
    sections = catalog.call("report_sections", run=run, results=results)
    return write_page(path, results, config, [pair for plugin in sections for pair in plugin])
