"""Hints during the training: signs that a run goes wrong, and the settings to change."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor
from torch.nn import functional

from ssl_host.compose import Experiment
from ssl_host.contracts.method import Method
from ssl_host.train.training_step import TrainingStep

COLLAPSED_BELOW = 0.05
"""Feature spread (see :func:`ssl_host.toolkit.spread.feature_spread`) that counts as collapse."""
CHANCE_CHECKED_AT = 0.1
"""Fraction of a run's steps after which its loss should be below the chance level."""
CHANCE_MARGIN = 0.02
"""How far below the chance level, relative to levels above 1, a loss counts as below it."""
WORSE_MARGIN = 0.1
"""How far above the chance level, relative to levels above 1, a loss is called worse."""
DIVERGED_ABOVE = 10.0
"""Factor between the loss and that of the first steps, or 1 if that is less, above which the
training counts as diverging; the losses of methods with a queue rise from 0 to ln of its size."""
NUM_ROWS = 5
"""Number of rows over which the loss, the accuracy and the rank are averaged."""
FLAT_BELOW = 0.01
"""Standard deviation of the pixels of a view, from 0 to 1, below which they are nearly equal."""
MOST = 0.5
"""Fraction of the views above which "most" of them are nearly one colour."""
LOW_RANK = 1.5
"""Effective rank of the features of a batch below which they differ in one direction only."""
LOW_RANK_FRACTION = 0.04
"""Fraction of the effective rank in the first steps that is too low as well; MSN, which learns
digits well, ends at a tenth."""
RANK_IMAGES = 256
"""Largest number of images of a batch for which the rank is computed."""
RANK_CHECKS = 50
"""Number of times in a run that the rank is computed, because it costs a few milliseconds."""
PROBE_CHECKED_AT = 0.25
"""Fraction of a run's steps after which the online probe should be better than guessing."""
PROBE_IMAGES = 1000
"""Number of predictions of the probe that are needed to compare it with guessing."""
COMMON_CLASS = 0.6
"""Fraction of the most frequent class above which the probe is not compared with guessing."""


class TrainingHints:
    """Checks each logged step for signs that a run goes wrong; prints each hint once.

    No check draws random numbers or changes a result.

    Args:
        warn: a function that shows a warning to the user.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.warn = warn
        self.printed: set[str] = set()
        self.losses: deque[float] = deque(maxlen=NUM_ROWS)
        self.first_loss: float | None = None
        self.accuracies: deque[tuple[int, float]] = deque(maxlen=NUM_ROWS + 1)
        self.ranks: deque[float] = deque(maxlen=NUM_ROWS)
        self.labels: Counter[int] = Counter()
        self.next_rank = 0
        self.first_rank = 0.0

    def start(self, step: TrainingStep) -> None:
        """Prepare for the first step of this process: a new run also checks its first views."""
        if step.state.step > 0:
            self.printed.add("loss")  # a resumed run has been compared, or has too few rows
        else:
            step.inspect_views = self.check_views

    def check_row(self, step: TrainingStep, method: Method, row: Mapping[str, float]) -> None:
        """Check the metrics of the step that has just finished."""
        self.losses.append(row["loss"])
        if "chance_loss" in row:
            self._check_loss(step, row["chance_loss"])
        self._check_divergence(step)
        if "feature_std" in row and step.state.step > 1:
            self._check_spread(method, step.state.step, row["feature_std"])
        if step.features is not None:
            self._check_rank(step, method, step.features)
        if "online_top1" in row:
            self._check_probe(step, row["online_top1"])

    def check_views(self, step: TrainingStep, views: Sequence[Tensor]) -> None:
        """Print a hint if most views of the first batch are one colour and the images are not."""
        raw, std = step.raw.images, step.experiment.views.std
        images = [raw] if isinstance(raw, Tensor) else raw
        flat = flat_view_fraction(views, std)
        if flat > MOST and flat_view_fraction(images, [1 / 255] * len(std)) <= MOST:
            name = step.experiment.config.components["augmentation"].name
            self._print(
                "views",
                f"in {100 * flat:.0f} % of the views of the first batch all pixels are nearly "
                f"equal, although they differ in the images: [augmentation] {name} destroys what "
                "is on them. Larger crops or less change of brightness and contrast usually help.",
            )

    def _print(self, name: str, text: str, kind: str = "hint") -> None:
        """Print a hint unless a hint of this name has been printed."""
        if name not in self.printed:
            self.printed.add(name)
            self.warn(f"{kind}: {text}")

    def _check_divergence(self, step: TrainingStep) -> None:
        """Print a warning if the loss is many times that of the first steps."""
        if len(self.losses) < NUM_ROWS:
            return
        mean = fmean(self.losses)
        if self.first_loss is None:
            self.first_loss = mean
        if mean > DIVERGED_ABOVE * max(1.0, abs(self.first_loss)):
            self._print(
                "divergence",
                f"at step {step.state.step} the loss is {mean:.3g}, after {self.first_loss:.3g} "
                "when training started or resumed: it diverges. "
                f"{learning_rate_advice(step.experiment)} usually helps.",
                kind="warning",
            )

    def _check_loss(self, step: TrainingStep, chance: float) -> None:
        """Print a hint if the loss is at the chance level after a tenth of the run."""
        done, total = step.state.step, step.state.total_steps
        if "loss" in self.printed or done < CHANCE_CHECKED_AT * total:
            return
        mean = fmean(self.losses)
        if is_at_chance(mean, chance):
            self._print(
                "loss",
                f"after {done} of {total} steps the loss is {mean:.3f}, which is "
                f"{name_chance(mean, chance)}: the network does not tell images apart yet. "
                f"{learning_rate_advice(step.experiment)} usually helps.",
            )
        self.printed.add("loss")  # it is compared once

    def _check_spread(self, method: Method, step: int, spread: float) -> None:
        """Print a warning if the features of all images are nearly the same."""
        if spread < COLLAPSED_BELOW:
            self._print(
                "collapse",
                f"at step {step} the features of all images are nearly the same "
                f"(spread {spread:.3f} of 1): the method is collapsing. {remedies(method)} "
                "usually helps.",
                kind="warning",
            )

    def _check_rank(self, step: TrainingStep, method: Method, features: Tensor) -> None:
        """Print a hint if the features differ in few directions, or many fewer than at first."""
        done, total = step.state.step, step.state.total_steps
        if self.printed & {"collapse", "rank"} or done < self.next_rank:
            return
        if method.uses_labels:
            return  # features with one direction for each class are the aim of such a method
        self.next_rank = done + max(1, total // RANK_CHECKS)
        self.ranks.append(effective_rank(features))
        if len(self.ranks) < NUM_ROWS:
            return
        if not self.first_rank:
            self.first_rank = fmean(self.ranks)
        if max(self.ranks) < max(LOW_RANK, LOW_RANK_FRACTION * self.first_rank):
            self._print(
                "rank",
                f"at step {done} the features of different images differ in few directions "
                f"(effective rank {self.ranks[-1]:.2f} of {features.shape[1]}; "
                f"{self.first_rank:.2f} in the first steps): the method is collapsing. "
                f"{remedies(method)} usually helps.",
            )

    def _check_probe(self, step: TrainingStep, accuracy: float) -> None:
        """Print a hint if the online probe is no better than guessing the most frequent class."""
        done, total = step.state.step, step.state.total_steps
        labels = step.raw.labels
        if labels is None or math.isnan(accuracy):
            return
        if self.printed & {"collapse", "rank", "probe"}:
            return  # a collapse explains it
        self.labels.update(labels[labels >= 0].tolist())
        self.accuracies.append((done, accuracy))
        num_images = (done - self.accuracies[0][0]) * step.plan.batch_size
        if done < PROBE_CHECKED_AT * total or num_images < PROBE_IMAGES:
            return
        guess = max(self.labels.values()) / self.labels.total()
        mean = fmean([value for _, value in self.accuracies][1:])
        if guess < COMMON_CLASS and mean < guess + min(0.02, guess / 2):
            self._print(
                "probe",
                f"after {done} of {total} steps the online probe is right for {100 * mean:.1f} % "
                f"of the images, no better than guessing the most frequent class "
                f"({100 * guess:.1f} %): the features do not tell the classes apart. "
                f"{learning_rate_advice(step.experiment)}, or an augmentation that keeps what the "
                "classes differ in ([augmentation]), usually helps, unless the labels cannot be "
                "seen.",
            )
        self.printed.add("probe")  # it is compared once


def is_at_chance(loss: float, chance: float) -> bool:
    """Return True if a loss is that of a network that does not tell images apart, or higher."""
    return loss > chance - CHANCE_MARGIN * max(1.0, chance)


def name_chance(loss: float, chance: float) -> str:
    """Return ``chance (5.541)`` or ``worse than chance (5.541)`` for a loss at chance or higher."""
    worse = "worse than " if loss > chance + WORSE_MARGIN * max(1.0, chance) else ""
    return f"{worse}chance ({chance:.3f})"


def flat_view_fraction(views: Sequence[Tensor], scale: Sequence[float]) -> float:
    """Return the fraction of the views (B, C, H, W) whose pixels are nearly equal.

    Args:
        views: the views; times ``scale``, the values of a channel are pixels from 0 to 1.
        scale: a factor for each of the C channels.
    """
    spreads = []
    for view in views:
        factors = torch.tensor(tuple(scale), device=view.device)
        spreads.append((view.float().flatten(2).std(dim=2) * factors).amax(dim=1))
    return float((torch.cat(spreads) < FLAT_BELOW).float().mean())


def effective_rank(features: Tensor) -> float:
    """Return the effective rank of centred features (B, D), at least 1.

    It is the exponential of the entropy of the normalised singular values, as RankMe
    (arXiv:2210.02885), of up to 256 images with unit features minus their mean.
    """
    unit = functional.normalize(features[:RANK_IMAGES].detach().float(), dim=1)
    centred = unit - unit.mean(dim=0)
    values = torch.linalg.eigvalsh((centred @ centred.T).cpu().double()).clamp(min=0).sqrt()
    shares = values / values.sum().clamp(min=1e-300)
    return float(torch.special.entr(shares).sum().exp())


def learning_rate_advice(experiment: Experiment) -> str:
    """Return advice for a loss that does not fall, with the settings that it is about."""
    plan, factor = experiment.plan, experiment.scheduler.factor
    rate = experiment.optimizer.learning_rate(experiment.config.run.batch_size)
    advice = [f"Another learning rate than {rate:.3g} ([optimizer] lr)"]
    total = plan.total_steps
    factors = [factor(step, total, plan.steps_per_epoch) for step in range(total)]
    warmup = factors.index(max(factors))
    if warmup > max(1, CHANCE_CHECKED_AT * total):
        advice.append(f"a warm-up of fewer than {warmup} steps ([scheduler] warmup_epochs)")
    optimizer = experiment.config.components["optimizer"].name
    if optimizer != "adamw":
        advice.append(f"[optimizer] name = adamw with lr = 0.001 instead of {optimizer}")
    return _join_with_or(advice)


def remedies(method: Method) -> str:
    """Return advice against collapse that mentions only parts that the method has."""
    advice = ["A lower learning rate ([optimizer] lr)", "a longer warm-up ([scheduler])"]
    if any(feeder in method.heads for feeder in method.heads.values()):
        advice.append("a larger predictor")
    if method.heads:
        advice.append(f"batch norm in the {next(iter(method.heads))}")
    if method.ema:
        advice.append("an ema_decay nearer to 1")
    return _join_with_or(advice)


def _join_with_or(texts: list[str]) -> str:
    """Return texts as ``a, b or c``."""
    return " or ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
