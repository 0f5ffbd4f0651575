"""Operations on existing run folders: evaluate again, write reports, load a failed step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose, compose_data, compose_method
from ssl_host.config.auto_settings import resolve_auto
from ssl_host.config.error_locations import locate_errors
from ssl_host.config.resolve import resolve_file
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.batch import Plan
from ssl_host.contracts.method import Method
from ssl_host.data.datasets import open_datasets
from ssl_host.errors import RunFolderError
from ssl_host.evaluate.figures import HOST_FIGURES, describe_baselines, describe_figures
from ssl_host.pipeline.advice import give_advice
from ssl_host.pipeline.evaluation import evaluate_network
from ssl_host.pipeline.network_weights import load_frozen_weights
from ssl_host.pipeline.results import image_results, write_report, write_results
from ssl_host.pipeline.run import Outcome
from ssl_host.report.comparison import ComparedRun, run_labels, write_comparison
from ssl_host.report.epoch_choices import RankedRun
from ssl_host.report.ranking import Ranking, rank_run, rank_runs
from ssl_host.run_folder.folder import RunFolder
from ssl_host.run_folder.stored_config import changed_keys, config_values
from ssl_host.toolkit.atomic_io import report_disk_errors
from ssl_host.toolkit.weights_io import read_tensors
from ssl_host.train.failed_step import FailedStep, read_failed_step
from ssl_host.weights import load_weights

OTHER_IMAGES_NOTE = (
    "evaluated on different images than during the run: the network may have been trained on "
    "some of the test images, in which case the metrics are too high"
)
"""Note in ``results.json`` if the images have changed since the run was trained."""
OTHER_DATA = "evaluated with other data settings than during the run: "
"""Start of a note in ``results.json`` that lists the settings."""


def evaluate_run(path: Path, options: Sequence[str], catalog: Catalog, console: Console) -> Outcome:
    """Evaluate the backbone of a finished run again, and rewrite its results and report.

    Args:
        path: the run folder.
        options: overrides of the run's configuration, of the form ``section.key=value``.
        catalog: the catalog of installed components.
        console: the console on which progress is printed.

    Returns:
        The run folder, the new results and the warnings that were printed.

    Raises:
        RunFolderError: if the folder does not contain a finished run and its backbone, or if
            another process uses it.
    """
    config = _load_config(path, options, catalog)
    with locate_errors(config), RunFolder(path) as folder, report_disk_errors(path):
        config = resolve_auto(config)
        results = folder.results()
        weights = path / "backbone.safetensors"
        if results is None or not weights.exists():
            raise RunFolderError(
                f"{path} does not contain a finished run with backbone.safetensors; finish the run "
                "with `ssl-host run`"
            )
        source, views = compose_data(config)
        images = open_datasets(source, views, config.loader)
        experiment = compose(config, (source, views), len(images.train))
        warnings: list[str] = []

        def warn(text: str, detail: str = "") -> None:
            warnings.append(text)
            console.print(f"warning: {text}{detail}", style="yellow")

        for warning in (*images.warnings, *_other_data_warnings(folder, config)):
            warn(warning)
        change = folder.image_change(images.fingerprint())
        if change is not None:
            warn(OTHER_IMAGES_NOTE, f". The run had {change}.")
        encoder = getattr(experiment.method, experiment.method.encoder)
        notes = [*images.notes, *load_weights(encoder, read_tensors(weights), weights)]
        notes += warnings
        measurement = evaluate_network(
            experiment,
            images,
            encoder,
            catalog,
            lambda name: console.print(f"evaluating: {name}", style="dim"),
            path,
        )
        training_metrics = {
            name: value for name, value in results["metrics"].items() if name in HOST_FIGURES
        }
        metrics = {**training_metrics, **measurement.metrics}
        for warning in _lost_metrics(results["metrics"], metrics):
            warn(warning)
        figures = describe_figures(metrics, experiment.evaluators, config.of_kind("evaluator"))
        baselines = describe_baselines(config.of_kind("baseline"))
        results = {**results, **image_results(images), "metrics": metrics}
        results |= {"figures": figures, "baselines": baselines}
        results |= _replace_notes(results, [*notes, *measurement.notes])
        results["advice"] = give_advice(path, experiment, images, results)
        write_results(folder, experiment, images, measurement, results, catalog)
    return Outcome(path, results, printed=tuple(warnings))


def _lost_metrics(old: Iterable[str], new: Iterable[str]) -> Iterator[str]:
    """Yield a warning if metrics that were measured earlier are not measured any more."""
    lost = sorted({name.rpartition(".")[0] or name for name in set(old) - set(new)})
    if lost:
        yield (
            f"results.json no longer has {', '.join(lost)}, which this command did not measure; "
            "add their sections with -o to keep them"
        )


def _other_data_warnings(folder: RunFolder, config: RunConfig) -> Iterator[str]:
    """Yield a warning if the data settings differ from those of the run."""
    stored, values = folder.config_values(), config_values(config)
    changes = [
        f"[{section}] {key} = {values[section][key]}, was {stored[section][key]}"
        for section, key in changed_keys(stored, values)
        if section in stored
        and key in stored[section]
        and key in values.get(section, {})
        and (section == "data" or (section, key) == ("loader", "holdout"))
    ]
    if changes:
        yield f"{OTHER_DATA}{'; '.join(changes)}"


def _replace_notes(results: Mapping[str, Any], new: Sequence[str]) -> dict[str, list[str]]:
    """Return the part of ``results.json`` with notes: those of the run and of a new evaluation.

    The notes of an earlier evaluation are left out, and a new note replaces one on the same
    subject.
    """
    earlier, subjects = results.get("evaluation_notes", ()), set(map(_subject, new))
    kept = [n for n in results["notes"] if n not in earlier and _subject(n) not in subjects]
    return {
        "notes": list(dict.fromkeys([*kept, *new])),
        "evaluation_notes": list(dict.fromkeys(new)),
    }


def _subject(note: str) -> str:
    """Return a note without numbers and lists of folders, which change with the images."""
    return re.sub(r"\d[\d,]*", "0", re.sub(r": left out .*", ": left out", note))


class WrittenReport(NamedTuple):
    """Report of one or several runs.

    Attributes:
        page: path of the HTML page.
        ranking: ranks of the runs by measures without labels, and the epochs that these choose.
        skipped: one message for each folder that was skipped.
    """

    page: Path
    ranking: Ranking
    skipped: Sequence[str] = ()


def write_run_report(path: Path, catalog: Catalog) -> WrittenReport:
    """Write ``report.html`` for a finished run from the files in its folder.

    Raises:
        RunFolderError: if the folder does not contain a finished run.
    """
    config, results = _load_finished(path, catalog)
    ranking = rank_run(path, results)
    with report_disk_errors(path):
        return WrittenReport(write_report(path, results, config, ranking, catalog), ranking)


def compare_runs(paths: Sequence[Path], output: Path, catalog: Catalog) -> WrittenReport:
    """Write one HTML page that compares finished runs.

    Args:
        paths: the run folders, without duplicates.
        output: the path of the page.
        catalog: the catalog of installed components.

    Raises:
        RunFolderError: if fewer than two runs are finished, or if the page cannot be written.
    """
    finished: dict[Path, tuple[RunConfig, dict[str, Any]]] = {}
    skipped = []
    for path in paths:
        try:
            finished[path] = _load_finished(path, catalog)
        except RunFolderError as error:
            skipped.append(str(error))
    if len(finished) < 2:
        reasons = "\n".join(skipped)
        raise RunFolderError(f"comparing needs at least two finished runs:\n{reasons}")
    labels = run_labels(list(finished))
    runs = [
        ComparedRun(label, path, results, config)
        for label, (path, (config, results)) in zip(labels, finished.items(), strict=True)
    ]
    ranking = rank_runs([RankedRun(run.label, run.label, run.folder, run.results) for run in runs])
    try:
        return WrittenReport(write_comparison(output, runs, ranking), ranking, skipped)
    except OSError as error:
        raise RunFolderError(f"{output} cannot be written: {error.strerror}") from None


def load_failed_step(path: str | Path) -> FailedStep:
    """Load a training step with non-finite numbers from the ``non_finite.ckpt`` of a run.

    ``load_failed_step(path).replay()`` computes the loss again and returns a
    :class:`~ssl_host.StepOutput`. Call it under ``torch.autograd.detect_anomaly()`` or in a
    debugger, for example.

    Raises:
        UserError: if the file is not in a run folder, or if the plugins of the run are not
            installed.
        CheckpointError: if the file is damaged.
    """
    file = Path(path)
    # The step is computed on the CPU of this machine, even if the run used a GPU.
    options = ("trainer.accelerator=cpu", "trainer.devices=1", "trainer.num_nodes=1")
    catalog = Catalog()
    config = resolve_auto(_load_config(file.parent, options, catalog))

    def make_method(plan: Plan) -> Method:
        method = compose_method(config, plan)
        load_frozen_weights(method, config, catalog)
        return method

    return read_failed_step(file, make_method)


def _load_finished(path: Path, catalog: Catalog) -> tuple[RunConfig, dict[str, Any]]:
    """Return the configuration and the results of a finished run.

    Raises:
        RunFolderError: if the folder does not contain a finished run.
    """
    results = RunFolder(path).finished()
    return _load_config(path, (), catalog), results


def _load_config(path: Path, options: Sequence[str], catalog: Catalog) -> RunConfig:
    """Return the configuration stored in a run folder; apply the options and drop the notes."""
    config = resolve_file(RunFolder(path).find_config_file(), options, catalog)
    return replace(config, notes=())
