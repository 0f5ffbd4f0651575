"""Advice at the end of a run in which no metric beats its baselines."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, variance
from typing import Any

from ssl_host.compose import Experiment
from ssl_host.data.datasets import OpenedDatasets
from ssl_host.report.curves import read_curves
from ssl_host.report.summary import FigureRow, Summary, summarize
from ssl_host.toolkit.plurals import pluralize
from ssl_host.toolkit.sampling import evenly_spaced_indices
from ssl_host.train.hints import (
    COLLAPSED_BELOW,
    MOST,
    flat_view_fraction,
    is_at_chance,
    learning_rate_advice,
    name_chance,
)

FEW_STEPS = 200
"""Number of optimizer steps below which a run is too short, whatever its curves look like."""
ENOUGH_STEPS = 1500
"""Number of optimizer steps that the advice for a short run aims at."""
LAST_ROWS = 0.1
"""Fraction of the rows of ``metrics.csv`` that counts as the end of the training."""
COLLAPSED_RANK = 2.0
"""RankMe below which the features have collapsed to a line."""
MIN_ROWS = 12
"""Number of logged rows below which curves are too short to say whether they still improve."""
CHECKED_VIEWS = 64
"""Number of images whose views are checked."""

Curves = Mapping[str, Sequence[tuple[float, float]]]


def give_advice(
    folder: Path, experiment: Experiment, images: OpenedDatasets, results: Mapping[str, Any]
) -> list[str]:
    """Return what to try next, most likely first; empty if a metric beats its baselines.

    Args:
        folder: the run folder, with ``config.ini`` and ``metrics.csv``.
        experiment: the components of the run.
        images: the training and test images.
        results: the content of ``results.json``.
    """
    if _is_above_baselines(summarize(results)) or not results["steps"]:
        return []
    sample = evenly_spaced_indices(len(images.train), CHECKED_VIEWS)
    pixels = images.train.images[sample]
    views = experiment.views(pixels, sample, seed=experiment.config.run.seed)
    is_flat = flat_view_fraction([pixels], [1 / 255] * pixels.shape[1]) > MOST
    flat = 0.0 if is_flat else flat_view_fraction(views, experiment.views.std)
    file = folder / "config.ini"
    shown = Path(os.path.relpath(file)) if file.is_relative_to(Path.cwd()) else file
    rate_advice = learning_rate_advice(experiment)
    return advise(results, read_curves(folder), flat, shown, rate_advice)


def advise(
    results: Mapping[str, Any],
    curves: Curves,
    flat_views: float,
    config_file: Path,
    rate_advice: str,
) -> list[str]:
    """Return what the evidence suggests next, most likely first.

    Args:
        results: the content of ``results.json``.
        curves: points (step, value) of the columns of ``metrics.csv``, keyed by column.
        flat_views: fraction of the views whose pixels are nearly equal, from 0 to 1.
        config_file: path of the run's ``config.ini``, for the command to train for longer.
        rate_advice: what to try against a loss that does not fall.

    Returns:
        Short texts; empty if a metric beats all its baselines. If none has baselines, as without
        labels, only what does not depend on them: a collapse, a loss at chance, very few steps.
    """
    summary = summarize(results)
    if _is_above_baselines(summary):
        return []
    certain = [*_destroyed_views(flat_views), *_collapse(summary, curves)]
    # A collapsing loss falls too, and more steps on destroyed views teach nothing.
    known = curves if learned_nothing(summary) else {}
    short = [] if certain else _too_few_steps(results, known, config_file)
    advice = [
        *short,
        *([] if certain else _loss_at_chance(curves, rate_advice)),
        *certain,
        *_best_baselines(summary, results),
    ]
    if not advice and _has_enough_rows(_values(known, "loss")):
        advice.append(
            "The curves have stopped improving, so more epochs alone will not help: try a stronger "
            "or a weaker [augmentation], another [optimizer] lr, or another method."
        )
    return advice


def learned_nothing(summary: Summary) -> bool:
    """Return True if metrics have been compared with baselines, and none beats all of them."""
    compared = [row.learned for row in summary.rows if row.learned is not None]
    return bool(compared) and not any(compared)


def _is_above_baselines(summary: Summary) -> bool:
    """Return True if a metric beats all its baselines."""
    return any(row.learned for row in summary.rows)


def _too_few_steps(results: Mapping[str, Any], curves: Curves, config_file: Path) -> list[str]:
    """Return advice to train for longer if the run is short or was still improving.

    A run that stopped early should not simply continue: the same metric would stop it again.
    """
    steps, epochs, stopped_by = results["steps"], results["epochs"], results.get("stopped_early")
    improving = [
        name
        for name, column, sign in (("loss", "loss", -1), ("online accuracy", "online_top1", 1))
        if _is_improving(_values(curves, column), sign)
    ]
    if not steps or (not improving and steps >= FEW_STEPS):
        return []
    reasons = [f"the {' and the '.join(improving)} still improved at the end"] if improving else []
    if steps < FEW_STEPS:
        reasons.append(f"{pluralize(steps, 'step')} are few")
    if stopped_by:
        return [
            f"Training stopped early, because {stopped_by} did not improve, but "
            f"{' and '.join(reasons)}: train again with --fresh and a larger [run] patience, or "
            "another metric for stop_early."
        ]
    missing = (ENOUGH_STEPS - steps) * epochs // max(1, steps)
    more = max(1, epochs, missing)
    command = f"ssl-host run {shlex.quote(str(config_file))} --more-epochs {more}"
    return [f"Train for longer, because {' and '.join(reasons)}: {command}"]


def _loss_at_chance(curves: Curves, rate_advice: str) -> list[str]:
    """Return advice if the loss ends at the level of a network that tells no images apart."""
    losses, levels = _end(curves, "loss"), _end(curves, "chance_loss")
    if not losses or not levels or not is_at_chance(fmean(losses), fmean(levels)):
        return []
    level = name_chance(fmean(losses), fmean(levels))
    return [f"The loss ended at {fmean(losses):.3f}, which is {level}. {rate_advice} may help."]


def _collapse(summary: Summary, curves: Curves) -> list[str]:
    """Return advice if the features of all images are nearly the same, or on a line."""
    spread, rank = _end(curves, "feature_std"), summary.find("rankme")
    if spread and fmean(spread) < COLLAPSED_BELOW:
        what = f"their spread ended at {fmean(spread):.3f} of 1"
    elif rank is not None and rank.value < COLLAPSED_RANK:
        what = f"their effective rank is {rank.value:.2f}"
    else:
        return []
    return [
        f"The features have collapsed ({what}): try a lower [optimizer] lr, a longer [scheduler] "
        "warmup_epochs, batch norm in the heads, or, with an EMA network, an ema_decay nearer to 1."
    ]


def _destroyed_views(flat_views: float) -> list[str]:
    """Return advice if most of the views are one colour."""
    if flat_views <= MOST:
        return []
    return [
        f"In {100 * flat_views:.0f} % of the views all pixels are nearly equal: use a weaker "
        "[augmentation], such as larger crops or less change of brightness and contrast; "
        "report.html shows the views."
    ]


def _best_baselines(summary: Summary, results: Mapping[str, Any]) -> list[str]:
    """Return the advice of each baseline that predicts the labels as well as everything else."""
    classes = len(results.get("classes", ()))
    rows = [row for row in summary.rows if row.learned is not None]
    if classes < 2 or not rows:
        return []
    advice = []
    for name, about in results.get("baselines", {}).items():
        text = about.get("best_advice")
        if text and all(_is_as_good_as_all(row, name, classes) for row in rows):
            best = max(rows, key=lambda row: row.baselines[name])
            advice.append(
                f"{_capitalized(summary.baseline_labels[name])} of the images are as good as "
                f"everything else ({best.name} {best.figure.format(best.baselines[name])} "
                f"{best.figure.unit}): {text}"
            )
    return advice


def _capitalized(text: str) -> str:
    """Return a text with a capital first letter."""
    return text[:1].upper() + text[1:]


def _is_as_good_as_all(row: FigureRow, baseline: str, classes: int) -> bool:
    """Return True if a baseline is far above chance and nothing is clearly better."""
    value = row.baselines.get(baseline)
    if value is None or row.figure.unit != "%" or not row.figure.higher_is_better:
        return False
    chance = 1 / classes
    others = [row.value, *row.baselines.values()]
    return value >= max(others) - 0.01 and value > chance + 0.3 * (1 - chance)


def _values(curves: Curves, column: str) -> list[float]:
    """Return the finite values of a column."""
    return [value for _, value in curves.get(column, ()) if math.isfinite(value)]


def _end(curves: Curves, column: str) -> list[float]:
    """Return the values of a column at the end of the training."""
    values = _values(curves, column)
    return values[-max(1, round(LAST_ROWS * len(values))) :]


def _is_improving(values: Sequence[float], sign: int) -> bool:
    """Return True if the last quarter of the values is clearly better than the quarter before.

    Args:
        values: the values, in the order of the steps.
        sign: 1 if higher values are better, -1 if lower values are.
    """
    if not _has_enough_rows(values):
        return False
    count = len(values) // 4
    before, after = values[-2 * count : -count], values[-count:]
    error = math.sqrt((variance(before) + variance(after)) / count)
    return sign * (fmean(after) - fmean(before)) > max(2 * error, 1e-9)


def _has_enough_rows(values: Sequence[float]) -> bool:
    """Return True if there are enough values to tell whether they still improve."""
    return len(values) >= MIN_ROWS
