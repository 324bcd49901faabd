"""Scoring: a bundle's predictions, for the API, for files and for the tests of a model.

Nothing here needs the library that trained the model, nor polars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from coldstart.bundle._bundle import (
    CONTRACT,
    MANIFEST,
    MODEL,
    checksum,
    registered_version,
    verify_bundle,
)
from coldstart.contract._contract import Contract, EncodedFeatures
from coldstart.errors import UserError

TOLERANCE = 1e-4  # between answers that count as the same: elsewhere sums go in another order


def to_labels(
    prediction: np.ndarray,
    threshold: float | None = None,
    weights: Sequence[float] | np.ndarray | None = None,
) -> np.ndarray:
    """Class numbers that probabilities stand for, shape (n,).

    Parameters
    ----------
    threshold
        Probability of the second of two classes from which it is the answer.
    weights
        Of each class; the answer is the class of the largest product of both.
    """
    if threshold is not None:
        return (prediction[:, 1] >= threshold).astype(np.int64)
    weighted = prediction if weights is None else prediction * np.asarray(weights)
    best: np.ndarray = weighted.argmax(axis=1)
    return best


def align(prediction: np.ndarray, own: Sequence[Any], classes: Sequence[Any]) -> np.ndarray:
    """Probabilities of a model's own classes, as columns of the given classes."""
    shares = np.zeros((len(prediction), len(classes)), dtype=prediction.dtype)
    for column, label in enumerate(own):
        if label in classes:
            shares[:, classes.index(label)] = prediction[:, column]
    return shares


class BundlePredictor:
    """A bundle, loaded.

    Parameters
    ----------
    folder
        The bundle.

    Raises
    ------
    UserError
        If the bundle is missing or corrupt.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = verify_bundle(folder)
        self.seal = checksum(folder / MANIFEST)
        self.contract = Contract.load(folder / CONTRACT)
        self.version = registered_version(folder)
        if list(self.contract.derived) != self.manifest.derived:
            trained, now = (", ".join(names) or "none" for names in (self.manifest.derived, self.contract.derived))
            raise UserError(
                f"{folder} was trained with the derived columns {trained}, and features.py has "
                f"{now} for its schema.yaml; run: make train"
            )
        options = onnxruntime.SessionOptions()
        # One row leaves nothing to share out, and threads that wait cost the other requests.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                folder / MODEL, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own exceptions have no common class
            raise UserError(
                f"{folder / MODEL} cannot be loaded ({error}); run: make train"
            ) from None
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]
        nothing = self.contract.encode({name: [None] for name in self.contract.features})
        try:
            self.predict(nothing)
        except Exception as error:
            raise UserError(
                f"{folder}: {MODEL} does not take what {CONTRACT} says ({error}); run: make train"
            ) from None

    @property
    def number(self) -> str:
        """The model's version in the registry."""
        return self.version.get("version", "unregistered")

    def predict(self, features: EncodedFeatures) -> np.ndarray:
        """Predict n rows.

        Returns
        -------
        float32 array
            Probabilities of shape (n, classes), or values of shape (n, 1).
        """
        feed = {name: getattr(features, name) for name in self._inputs}
        prediction: np.ndarray = self._session.run(self._outputs, feed)[0]
        return prediction

    def predict_as(self, features: EncodedFeatures, classes: Sequence[str]) -> np.ndarray:
        """Predict as `predict` does, but with a column for each of the given classes."""
        prediction = self.predict(features)
        return align(prediction, self.manifest.classes, classes) if classes else prediction

    def decision_for(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return the arguments of `to_labels` for probabilities of the given classes."""
        if not self.manifest.weights:
            return {"threshold": self.manifest.threshold}
        weight = dict(zip(self.manifest.classes, self.manifest.weights, strict=True))
        return {"weights": [weight.get(label, 1.0) for label in classes]}

    def labels(self, prediction: np.ndarray) -> np.ndarray:
        """Class numbers that predicted probabilities stand for, shape (n,)."""
        return to_labels(prediction, self.manifest.threshold, self.manifest.weights)

    def score(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer typed rows, as the API does.

        Returns
        -------
        list of dict
            `label`, `probability` of that label and `probabilities` of all; or `value`.
        """
        return self.answers(self.predict(self.contract.encode(self.columns(rows))))

    def columns(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
        """Turn rows to columns, None where a field was left out."""
        names = list(self.contract.features)
        try:
            # The quick way, which needs each field; the first is there twice since of a single
            # field it gives the value and no tuple.
            values = list(zip(*map(itemgetter(*names, names[0]), rows), strict=True))
        except KeyError:
            values = []
        if not values:
            return {name: [row.get(name) for row in rows] for name in names}
        return dict(zip(names, values, strict=False))

    def answers(self, prediction: np.ndarray) -> list[dict[str, Any]]:
        """Say what was predicted, as `score` does."""
        classes = self.manifest.classes
        if not classes:
            return [{"value": value} for value in prediction[:, 0].tolist()]
        return [
            {
                "label": classes[label],
                "probability": probabilities[label],
                "probabilities": dict(zip(classes, probabilities, strict=True)),
            }
            for label, probabilities in zip(
                self.labels(prediction).tolist(), prediction.tolist(), strict=True
            )
        ]
