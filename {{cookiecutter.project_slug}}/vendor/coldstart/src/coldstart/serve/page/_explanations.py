"""Explanations: the rank of a prediction among others, and the feature contributions."""

from __future__ import annotations

from typing import Any

import numpy as np

from coldstart.bundle._bundle import REFERENCE
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract._contract import EncodedFeatures, feature_slices
from coldstart.serve._live_model import reference_rows
from coldstart.serve._schemas import Row
from coldstart.serve.page._bundle_files import read_file

ROWS = 40  # of the reference, whose values replace a feature's
MAX_ROWS = 4_000  # of one run: a table of very many columns gets fewer for each
BINS = 30


class Explainer:
    """A model with the reference rows of its bundle, which its predictions are compared with.

    Parameters
    ----------
    predictor : BundlePredictor
        The model.

    Attributes
    ----------
    rows : list of dict
        The reference rows; empty if the bundle has none.
    """

    def __init__(self, predictor: BundlePredictor) -> None:
        self.predictor, self.slices = predictor, feature_slices(predictor.contract)
        whole = read_file(predictor, REFERENCE) is not None
        self.rows: list[Row] = [row for row, _ in reference_rows(predictor)] if whole else []
        self.encoded = predictor.contract.encode(predictor.columns(self.rows))
        if self.rows:
            self.predictions = predictor.predict(self.encoded)

    def explain(self, row: Row) -> dict[str, Any]:
        """Predict a row, and explain the prediction.

        Parameters
        ----------
        row : dict
            Typed values by column.

        Returns
        -------
        dict
            `prediction` in the form of the API. `value` is the probability of `subject`, the
            second of two classes or the predicted one of many, or the predicted number.
            `reference` holds counts of the reference rows' values between `low` and `high`, their
            `mean`, and the share that is `below` this value. `contributions` holds for each
            feature how much this value is above the mean of those where the feature is, in turn,
            each of `rows` reference rows'.

        References
        ----------
        Robnik-Šikonja and Kononenko, "Explaining Classifications for Individual Instances",
        IEEE Transactions on Knowledge and Data Engineering 20(5), 2008: the prediction difference.
        """
        predictor, classes = self.predictor, self.predictor.manifest.classes
        given = predictor.contract.encode(predictor.columns([row]))
        rows = min(ROWS, max(1, MAX_ROWS // len(self.slices)), len(self.rows))
        predictions = predictor.predict(self.replaced(given, rows))
        prediction = predictor.describe(predictions[:1])[0]
        at = 0 if not classes else 1 if len(classes) == 2 else classes.index(prediction["label"])
        values = predictions[:, at].astype(np.float64)
        explanation = {
            "prediction": prediction,
            "model_version": predictor.number,
            "fingerprint": predictor.fingerprint,
            "subject": classes[at] if classes else predictor.contract.target,
            "value": float(values[0]),
        }
        if self.rows:
            means = values[1:].reshape(len(self.slices), rows).mean(axis=1)
            explanation["reference"] = self.among(at, values[0])
            by_feature = dict(zip(self.slices, (values[0] - means).tolist(), strict=True))
            explanation["contributions"] = {"rows": rows, "by_feature": by_feature}
        return explanation

    def replaced(self, given: EncodedFeatures, rows: int) -> EncodedFeatures:
        """Return the row, then for each feature as many with a reference row's value there."""
        features, arrays = self.predictor.contract.features, {}
        for matrix, values in vars(given).items():
            many = np.repeat(values, 1 + len(features) * rows, axis=0)
            blocks = many[1:].reshape(len(features), rows, values.shape[1])
            for block, (name, columns) in zip(blocks, self.slices.items(), strict=True):
                if features[name].matrix == matrix:
                    block[:, columns] = getattr(self.encoded, matrix)[:rows, columns]
            arrays[matrix] = many
        return EncodedFeatures(**arrays)

    def among(self, at: int, value: float) -> dict[str, Any]:
        """Return where a value lies among those of the reference rows; ties count half."""
        others = self.predictions[:, at].astype(np.float64)
        low = 0.0 if self.predictor.manifest.classes else float(others.min())
        counts, edges = np.histogram(others, BINS, (low, float(others.max())))
        below = np.mean(others < value) + np.mean(others == value) / 2
        return {
            "rows": len(others),
            "low": float(edges[0]),
            "high": float(edges[-1]),
            "counts": counts.tolist(),
            "mean": float(others.mean()),
            "below": float(below),
        }
