"""Explaining an answer: where it lies among others, and which inputs moved it."""

from __future__ import annotations

from typing import Any

import numpy as np

from coldstart.bundle._bundle import REFERENCE
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract._contract import EncodedFeatures, feature_slices
from coldstart.serve._live_model import reference
from coldstart.serve._schemas import Row
from coldstart.serve.page._bundle_files import kept

ROWS = 40  # of the reference, that take the place of an input
MOST = 4_000  # rows of one run: a table of very many columns gets fewer of each
BINS = 30


class Explainer:
    """A model, and the rows of its bundle that its answers are held against.

    Attributes
    ----------
    rows
        The reference; empty if the bundle has none.
    """

    def __init__(self, predictor: BundlePredictor) -> None:
        self.predictor, self.places = predictor, feature_slices(predictor.contract)
        whole = kept(predictor, REFERENCE) is not None
        self.rows: list[Row] = [row for row, _ in reference(predictor)] if whole else []
        self.encoded = predictor.contract.encode(predictor.columns(self.rows))
        if self.rows:
            self.predictions = predictor.predict(self.encoded)

    def explain(self, row: Row) -> dict[str, Any]:
        """Answer a row, and say what there is to say of the answer.

        Returns
        -------
        dict
            `prediction` as the API answers it. `value` is the probability of `subject`, the
            second of two classes or the answered one of many, or the predicted quantity.
            `reference` are counts of the reference's values between `low` and `high`, their
            `mean`, and the share that is `below` this value. `moved` tells for each feature how
            much this value is above the mean of those where the feature is, in turn, each of
            `rows` reference rows'.

        References
        ----------
        Robnik-Šikonja and Kononenko, "Explaining Classifications for Individual Instances",
        IEEE Transactions on Knowledge and Data Engineering 20(5), 2008: the prediction difference.
        """
        predictor, classes = self.predictor, self.predictor.manifest.classes
        asked = predictor.contract.encode(predictor.columns([row]))
        rows = min(ROWS, max(1, MOST // len(self.places)), len(self.rows))
        predictions = predictor.predict(self.replaced(asked, rows))
        prediction = predictor.answers(predictions[:1])[0]
        at = 0 if not classes else 1 if len(classes) == 2 else classes.index(prediction["label"])
        values = predictions[:, at].astype(np.float64)
        told = {
            "prediction": prediction,
            "model_version": predictor.number,
            "seal": predictor.seal,
            "subject": classes[at] if classes else predictor.contract.target,
            "value": float(values[0]),
        }
        if self.rows:
            means = values[1:].reshape(len(self.places), rows).mean(axis=1)
            told["reference"] = self.among(at, values[0])
            by = dict(zip(self.places, (values[0] - means).tolist(), strict=True))
            told["moved"] = {"rows": rows, "by": by}
        return told

    def replaced(self, asked: EncodedFeatures, rows: int) -> EncodedFeatures:
        """The row itself, then for each feature as many with a reference row's value there."""
        features, kind = self.predictor.contract.features, {}
        for matrix, values in vars(asked).items():
            many = np.repeat(values, 1 + len(features) * rows, axis=0)
            blocks = many[1:].reshape(len(features), rows, values.shape[1])
            for block, (name, place) in zip(blocks, self.places.items(), strict=True):
                if features[name].matrix == matrix:
                    block[:, place] = getattr(self.encoded, matrix)[:rows, place]
            kind[matrix] = many
        return EncodedFeatures(**kind)

    def among(self, at: int, value: float) -> dict[str, Any]:
        """Where a value lies among the reference's; ties count half."""
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
