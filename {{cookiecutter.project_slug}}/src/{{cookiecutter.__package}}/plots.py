"""Plots of a model on its test rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")  # draws to files; a screen is not needed

import matplotlib.pyplot as plt
import polars as pl
from matplotlib.figure import Figure
from sklearn import metrics
from sklearn.calibration import CalibrationDisplay

from .contract import Contract
from .evaluation import Held, score
from .scoring import Scorer

IMPORTANCE_ROWS = 1000
IMPORTANCE_REPEATS = 3


def draw(scorer: Scorer, table: pl.DataFrame, held: Held, seed: int) -> dict[str, Figure]:
    """Draw what suits the task, by file name.

    Parameters
    ----------
    table, held
        The test rows, typed, and predictions of them.
    """
    family, classes = scorer.manifest.family, scorer.manifest.classes
    target, prediction = held.target, held.prediction.mean(axis=0)
    figures = {"importance.png": importance(scorer, table, target, seed)}
    if len(classes) == 2:
        positive = prediction[:, 1]
        figures["ranking.png"] = figure(
            2,
            lambda axes: (
                metrics.RocCurveDisplay.from_predictions(
                    target, positive, name=family, ax=axes[0], plot_chance_level=True
                ),
                metrics.PrecisionRecallDisplay.from_predictions(
                    target, positive, name=family, ax=axes[1], plot_chance_level=True
                ),
            ),
        )
        figures["calibration.png"] = figure(
            1,
            lambda axes: CalibrationDisplay.from_predictions(
                target, positive, name=family, n_bins=10, strategy="quantile", ax=axes[0]
            ),
        )
    elif classes:
        figures["confusion.png"] = figure(
            1,
            lambda axes: metrics.ConfusionMatrixDisplay.from_predictions(
                target, prediction.argmax(axis=1), ax=axes[0], normalize="true",
                labels=range(len(classes)), display_labels=classes, xticks_rotation="vertical",
            ),
        )  # fmt: skip
    else:
        figures["residuals.png"] = figure(
            2,
            lambda axes: [
                metrics.PredictionErrorDisplay.from_predictions(
                    target, prediction[:, 0], kind=kind, ax=ax, random_state=seed
                )
                for kind, ax in zip(
                    ("actual_vs_predicted", "residual_vs_predicted"), axes, strict=True
                )
            ],
        )
    return figures


def figure(columns: int, fill: Callable[[Any], Any]) -> Figure:
    """Make a figure with a row of axes, and fill them."""
    made, axes = plt.subplots(1, columns, figsize=(5.5 * columns, 4.5), layout="constrained")
    fill(np.atleast_1d(axes))
    plt.close(made)
    return made


def importance(scorer: Scorer, table: pl.DataFrame, target: np.ndarray, seed: int) -> Figure:
    """Draw by how much the primary metric falls when a column's values are shuffled.

    References
    ----------
    Breiman, "Random Forests", Machine Learning 45, 2001, section 10.
    """
    random = np.random.default_rng(seed)
    rows = random.permutation(len(table))[:IMPORTANCE_ROWS]
    table, target = table[rows], target[rows]
    contract: Contract = scorer.contract
    columns = {name: table[name].to_list() for name in contract.features}

    def scored(values: dict[str, list[Any]]) -> float:
        return score(target, scorer.predict(contract.encode(values)))

    whole = scored(columns)
    falls = {
        name: np.mean(
            [
                whole
                - scored({**columns, name: [values[i] for i in random.permutation(len(rows))]})
                for _ in range(IMPORTANCE_REPEATS)
            ]
        )
        for name, values in columns.items()
    }
    names = sorted(falls, key=lambda name: falls[name])

    def fill(axes: Any) -> None:
        axes[0].barh(names, [falls[name] for name in names])
        axes[0].set_xlabel("fall of the test metric when the column is shuffled")

    return figure(1, fill)
