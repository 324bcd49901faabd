"""Explaining an answer: where it lies among others, and which inputs moved it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...bundle import REFERENCE
from ...contract import Matrices, places
from ...scoring import Scorer
from ...serving.model import reference
from ...serving.rows import Row
from .bundled import kept

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

    def __init__(self, scorer: Scorer) -> None:
        self.scorer, self.places = scorer, places(scorer.contract)
        whole = kept(scorer, REFERENCE) is not None
        self.rows: list[Row] = [row for row, _ in reference(scorer)] if whole else []
        self.encoded = scorer.contract.encode(scorer.columns(self.rows))
        if self.rows:
            self.predictions = scorer.predict(self.encoded)

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
        scorer, classes = self.scorer, self.scorer.manifest.classes
        asked = scorer.contract.encode(scorer.columns([row]))
        rows = min(ROWS, max(1, MOST // len(self.places)), len(self.rows))
        predictions = scorer.predict(self.replaced(asked, rows))
        prediction = scorer.answers(predictions[:1])[0]
        at = 0 if not classes else 1 if len(classes) == 2 else classes.index(prediction["label"])
        values = predictions[:, at].astype(np.float64)
        told = {
            "prediction": prediction,
            "model_version": scorer.number,
            "seal": scorer.seal,
            "subject": classes[at] if classes else scorer.contract.target,
            "value": float(values[0]),
        }
        if self.rows:
            means = values[1:].reshape(len(self.places), rows).mean(axis=1)
            told["reference"] = self.among(at, values[0])
            by = dict(zip(self.places, (values[0] - means).tolist(), strict=True))
            told["moved"] = {"rows": rows, "by": by}
        return told

    def replaced(self, asked: Matrices, rows: int) -> Matrices:
        """The row itself, then for each feature as many with a reference row's value there."""
        features, kind = self.scorer.contract.features, {}
        for matrix, values in vars(asked).items():
            many = np.repeat(values, 1 + len(features) * rows, axis=0)
            blocks = many[1:].reshape(len(features), rows, values.shape[1])
            for block, (name, place) in zip(blocks, self.places.items(), strict=True):
                if features[name].matrix == matrix:
                    block[:, place] = getattr(self.encoded, matrix)[:rows, place]
            kind[matrix] = many
        return Matrices(**kind)

    def among(self, at: int, value: float) -> dict[str, Any]:
        """Where a value lies among the reference's; ties count half."""
        others = self.predictions[:, at].astype(np.float64)
        low = 0.0 if self.scorer.manifest.classes else float(others.min())
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
