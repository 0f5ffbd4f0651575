"""Evaluator ``logistic``: logistic regression by L-BFGS."""

from __future__ import annotations

import warnings

import numpy as np
from pydantic import Field
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ssl_host import Evaluation, Evaluator, FeatureBank, Figure, Settings
from ssl_plugin_evaluators.accuracy import ACCURACY, score_predictions


class Logistic(Evaluator):
    """Accuracy of a multinomial logistic regression, fitted by L-BFGS.

    As in CLIP, arXiv:2103.00020, appendix A.3, but with a grid: the inverse strength C of the L2
    penalty is the one with the highest accuracy on a part of the training images; the smaller one
    if several have it. The features are standardised. Then the regression is fitted to all
    training images.
    """

    figures = {
        **ACCURACY,
        "C": Figure("chosen inverse strength of the L2 penalty", higher_is_better=None),
    }

    class Config(Settings):
        smallest_c: float = Field(1e-4, gt=0, le=1e6, description="smallest C of the grid")
        largest_c: float = Field(1e2, gt=0, le=1e6, description="largest C of the grid")
        num_c: int = Field(
            7, ge=1, le=100, description="number of values of C, with equal ratios between them"
        )
        held_out: float = Field(
            0.2,
            gt=0,
            lt=1,
            description="fraction of the training images on which C is chosen",
        )
        max_iterations: int = Field(
            500, ge=1, le=100_000, description="largest number of iterations of L-BFGS"
        )

    config: Config

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        assert bank.test is not None
        assert bank.train.y is not None
        assert bank.test.y is not None
        x, y = bank.train.x.numpy(), bank.train.y.numpy()
        strength, notes = self._choose(x, y, bank.seed)
        model, converged = self._fit(strength, x, y)
        if not converged:
            notes = (*notes, "logistic regression has not converged; increase max_iterations")
        metrics = score_predictions(model.predict(bank.test.x.numpy()), bank.test.y.numpy())
        return Evaluation({**metrics, "C": float(strength)}, notes=notes)

    def _choose(self, x: np.ndarray, y: np.ndarray, seed: int) -> tuple[float, tuple[str, ...]]:
        """Return the C with the highest accuracy on the held-out part, and notes."""
        config = self.config
        grid = np.geomspace(config.smallest_c, config.largest_c, config.num_c)
        if len(grid) == 1:
            return float(grid[0]), ()
        counts = np.bincount(y)
        stratify = y if counts[counts > 0].min() > 1 else None
        fit_x, held_x, fit_y, held_y = train_test_split(
            x, y, test_size=config.held_out, random_state=seed, stratify=stratify
        )
        scores = [self._fit(strength, fit_x, fit_y)[0].score(held_x, held_y) for strength in grid]
        best = int(np.argmax(scores))
        notes: tuple[str, ...] = ()
        if best in (0, len(grid) - 1) and max(scores) > min(scores):
            notes = (f"the chosen C = {grid[best]:g} is at the end of the grid; widen it",)
        return float(grid[best]), notes

    def _fit(self, strength: float, x: np.ndarray, y: np.ndarray) -> tuple[Pipeline, bool]:
        """Return a fitted regression, and True if it has converged."""
        regression = LogisticRegression(C=strength, max_iter=self.config.max_iterations)
        model = make_pipeline(StandardScaler(), regression)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model.fit(x, y)
        return model, not any(issubclass(w.category, ConvergenceWarning) for w in caught)
