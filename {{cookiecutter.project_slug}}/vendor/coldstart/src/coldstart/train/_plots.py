"""Plots of a model on its test rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")  # draws to files; a screen is not needed

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from sklearn import metrics
from sklearn.calibration import CalibrationDisplay

from coldstart.bundle._predictor import BundlePredictor, to_labels
from coldstart.contract._contract import EncodedFeatures, feature_slices
from coldstart.data._dataset import Dataset
from coldstart.train._baselines import Baselines
from coldstart.train._evaluation import HeldOutPredictions

IMPORTANCE_ROWS = 1000
IMPORTANCE_COLUMNS = 50  # the best alone of more
IMPORTANCE_REPEATS = 3  # at most; of many rows one shuffle says as much
SHOWN = 30  # columns
LONG = 24  # letters of a name, beside which there is still room for a plot
CONFUSABLE = 30  # classes


def draw(
    family: str, dataset: Dataset, predictions: HeldOutPredictions, importances: dict[str, float]
) -> dict[str, Figure]:
    """Draw the plots of a model that suit its target.

    They are the importance of the columns, and ranking and calibration for two classes, a
    confusion matrix for more, or residuals for regression.

    Parameters
    ----------
    family : str
        Name of the model type, for the legend.
    dataset : Dataset
        The prepared rows.
    predictions : HeldOutPredictions
        Predictions of the test rows.
    importances : dict of str to float
        Importance of each column, from `importance`.

    Returns
    -------
    dict of str to Figure
        From a file name to the figure.
    """
    classes = dataset.classes
    target, prediction = predictions.target, predictions.prediction.mean(axis=0)
    figures = {"importance.png": bars(importances)}
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
    elif len(classes) > CONFUSABLE:
        pass  # so many cells are not legible
    elif classes:
        figures["confusion.png"] = figure(
            1,
            lambda axes: metrics.ConfusionMatrixDisplay.from_predictions(
                target, predictions.labels[0], ax=axes[0], normalize="true",
                labels=range(len(classes)), display_labels=[brief(name) for name in classes],
                xticks_rotation="vertical", values_format=".2f",
                text_kw={"size": "medium" if len(classes) < 6 else "xx-small"},
            ),
        )  # fmt: skip
    else:
        figures["residuals.png"] = figure(
            2,
            lambda axes: [
                metrics.PredictionErrorDisplay.from_predictions(
                    target, prediction[:, 0], kind=kind, ax=ax, random_state=0
                )
                for kind, ax in zip(
                    ("actual_vs_predicted", "residual_vs_predicted"), axes, strict=True
                )
            ],
        )
    return figures


def figure(columns: int, fill: Callable[[Any], Any]) -> Figure:
    """Return a figure with a row of axes, filled by a function."""
    made, axes = plt.subplots(1, columns, figsize=(5.5 * columns, 4.5), layout="constrained")
    fill(np.atleast_1d(axes))
    made.draw_without_rendering()
    made.set_layout_engine("none")  # the layout is found once, and not whenever it is saved
    plt.close(made)
    return made


def brief(name: str) -> str:
    """Return a name shortened so that the plot has enough room."""
    return name if len(name) <= LONG else f"{name[: LONG - 1]}…"


def bars(importances: dict[str, float]) -> Figure:
    """Draw the importance of columns, the largest on top."""
    names = sorted(importances, key=lambda name: importances[name])[-SHOWN:]

    def fill(axes: Any) -> None:
        labels = [brief(name) for name in names]
        axes[0].barh(range(len(names)), [importances[name] for name in names], tick_label=labels)
        axes[0].set_xlabel("fall of the metric when the column is shuffled")

    return figure(1, fill)


def importance(
    predictor: BundlePredictor,
    dataset: Dataset,
    test: HeldOutPredictions,
    baselines: Baselines,
    seed: int = 0,
) -> dict[str, float]:
    """Compute the permutation importance of columns.

    Parameters
    ----------
    predictor : BundlePredictor
        The model.
    dataset : Dataset
        The prepared rows.
    test : HeldOutPredictions
        Predictions of the test rows, of which at most `IMPORTANCE_ROWS` are used.
    baselines : Baselines
        The baselines, whose `IMPORTANCE_COLUMNS` best single features are shuffled.
    seed : int, default=0
        Seed of the permutations.

    Returns
    -------
    dict of str to float
        From the name of a column, or of a derived column, to the decrease of the primary metric.

    References
    ----------
    Breiman, "Random Forests", Machine Learning 45, 2001, section 10.
    """
    random = np.random.default_rng(seed)
    rows = random.permutation(len(test.target))[:IMPORTANCE_ROWS]
    held = test[rows]
    features = dataset.features(held.rows)
    contract = dataset.contract
    where = {
        name: (contract.features[name].matrix, place)
        for name, place in feature_slices(contract).items()
    }
    derived = len(contract.encoded_names["numbers"])
    for place, name in enumerate(contract.derived, start=derived):
        where[name] = "numbers", slice(place, place + 1)

    def predict(features: EncodedFeatures) -> float:
        prediction = predictor.predict_as(features, dataset.classes)
        labels = to_labels(prediction, **predictor.decision_for(dataset.classes))
        return replace(held, prediction=prediction[None], labels=labels[None]).score()

    def shuffled(name: str) -> EncodedFeatures:
        matrices = {kind: values.copy() for kind, values in vars(features).items()}
        matrix, place = where[name]
        values = matrices[matrix][:, place]
        values[:] = random.permutation(values)
        return EncodedFeatures(**matrices)

    whole = predict(features)
    repeats = int(np.clip(IMPORTANCE_ROWS // len(rows), 1, IMPORTANCE_REPEATS))
    names = [*list(baselines.columns)[:IMPORTANCE_COLUMNS], *contract.derived]
    return {
        name: float(np.mean([whole - predict(shuffled(name)) for _ in range(repeats)]))
        for name in names
    }
