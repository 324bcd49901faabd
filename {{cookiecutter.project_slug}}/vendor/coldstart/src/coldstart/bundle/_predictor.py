"""A bundle's predictions, for the API, for files and for the evaluation of a model.

Nothing here needs the library that trained the model, nor polars.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import compress
from operator import itemgetter
from pathlib import Path
from typing import Any

# Read on import; without it the runtime keeps an id of this machine in the home folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

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

TOLERANCE = 1e-4  # between predictions that count as the same: sums go in another order elsewhere


PROVIDERS = ("CPUExecutionProvider",)
CHECK_SECONDS = 60.0  # in which a graph has to predict the rows that it is checked with


def check_providers(providers: Sequence[str]) -> list[str]:
    """Return execution providers that onnxruntime has here; it would skip all others.

    Raises
    ------
    UserError
        If it lacks one.
    """
    available = onnxruntime.get_available_providers()
    for provider in providers:
        if provider not in available:
            raise UserError(
                f"onnxruntime has no {provider} here; serving.providers: {', '.join(available)}. "
                "Others need another package, such as onnxruntime-gpu"
            )
    return [*providers]


def prediction_scale(values: np.ndarray) -> float:
    """Return the unit in which differences between predicted numbers are measured.

    Parameters
    ----------
    values : ndarray
        Predictions of some rows, in the unit of the target.

    Returns
    -------
    float
        Their standard deviation, and at least 1% of their mean size: float32 cannot represent
        smaller differences between large numbers.
    """
    if not values.size:
        return 1e-9
    return max(float(values.std()), 0.01 * float(np.abs(values).mean()), 1e-9)


def to_labels(
    prediction: np.ndarray,
    threshold: float | None = None,
    weights: Sequence[float] | np.ndarray | None = None,
) -> np.ndarray:
    """Return the predicted classes for probabilities.

    Parameters
    ----------
    prediction : ndarray of shape (n, classes)
        Probabilities.
    threshold : float, optional
        Probability of the second of two classes from which it is predicted.
    weights : sequence of float of length classes, optional
        Weight of each class. The class whose probability times its weight is largest is
        predicted. By default all weights are equal.

    Returns
    -------
    ndarray of int64, shape (n,)
        Class indices.
    """
    if threshold is not None:
        return (prediction[:, 1] >= threshold).astype(np.int64)
    weighted = prediction if weights is None else prediction * np.asarray(weights)
    best: np.ndarray = weighted.argmax(axis=1)
    return best


def align(prediction: np.ndarray, own: Sequence[Any], classes: Sequence[Any]) -> np.ndarray:
    """Return probabilities of a model's own classes as columns of the given classes."""
    shares = np.zeros((len(prediction), len(classes)), dtype=prediction.dtype)
    for column, label in enumerate(own):
        if label in classes:
            shares[:, classes.index(label)] = prediction[:, column]
    return shares


class BundlePredictor:
    """A loaded bundle, which predicts rows.

    Parameters
    ----------
    folder : Path
        The bundle.
    providers : sequence of str, optional
        Execution providers of onnxruntime, in the order in which they are tried for each node. By
        default the CPU's.

    Attributes
    ----------
    manifest : Manifest
        Classes, threshold, metrics and provenance.
    contract : Contract
        The data contract that the model was trained with.
    fingerprint : str
        SHA-256 of the manifest, which contains the checksums of all files.
    version : dict
        Name, version and alias in the registry; empty if the bundle is not registered.
    threads : int
        Threads that share each operation of the graph.

    Raises
    ------
    UserError
        If the bundle is missing or corrupt, a derived column of its training is missing now, or
        onnxruntime lacks a provider.
    """

    def __init__(self, folder: Path, providers: Sequence[str] = PROVIDERS) -> None:
        self.folder = folder
        self.manifest = verify_bundle(folder)
        self.fingerprint = checksum(folder / MANIFEST)
        self.contract = Contract.load(folder / CONTRACT)
        self.version = registered_version(folder)
        # Those that features.py has more of came later, and are not inputs of this model.
        missing = [name for name in self.manifest.derived if name not in self.contract.derived]
        if missing:
            raise UserError(
                f"{folder} was trained with derived columns that features.py lacks now "
                f"({', '.join(missing)}); put them back, or run: make train, then make promote"
            )
        self.contract.keep_derived(self.manifest.derived)
        self.providers = check_providers(providers)
        # One row leaves nothing to share out, and threads that wait cost the other requests.
        self.use_threads(1)
        self._options: onnxruntime.RunOptions | None = None
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]
        nothing = self.contract.encode({name: [None] for name in self.contract.features})
        try:
            with self.time_limit():
                found = self.predict(nothing).shape
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"{folder}: {MODEL} does not take what {CONTRACT} says ({error}); run: make train"
            ) from None
        classes = self.manifest.classes
        if found != (1, max(1, len(classes))) or len(set(classes)) < len(classes):
            raise UserError(
                f"{folder}: {MODEL} predicts {found} for one row, and {MANIFEST} lists "
                f"{len(set(classes))} classes; run: make train"
            )

    def use_threads(self, threads: int) -> None:
        """Load the graph, to be computed by a number of threads.

        Parameters
        ----------
        threads : int
            Threads that share each operation.

        Raises
        ------
        UserError
            If the graph cannot be loaded.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Between two requests they would compute nothing, and take a core each.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                self.folder / MODEL, options, providers=self.providers
            )
        except Exception as error:  # onnxruntime's own exceptions have no common class
            raise UserError(
                f"{self.folder / MODEL} cannot be loaded ({error}); run: make train"
            ) from None
        self.threads = threads

    @contextmanager
    def time_limit(self) -> Iterator[None]:
        """Limit the time of predictions, since a graph may hold a loop without an end.

        Yields
        ------
        None
            While the limit holds.

        Raises
        ------
        UserError
            If they are not finished in `CHECK_SECONDS`.
        """
        options = self._options = onnxruntime.RunOptions()
        timer = threading.Timer(CHECK_SECONDS, setattr, (options, "terminate", True))
        timer.start()
        try:
            yield
        except Exception:
            if not options.terminate:
                raise
            raise UserError(
                f"{self.folder}: {MODEL} does not predict a few rows in {CHECK_SECONDS:g} s; "
                "has it a loop without an end?"
            ) from None
        finally:
            timer.cancel()
            self._options = None

    @property
    def number(self) -> str:
        """The model's version in the registry, or `unregistered`."""
        return self.version.get("version", "unregistered")

    def predict(self, features: EncodedFeatures) -> np.ndarray:
        """Predict encoded rows.

        Parameters
        ----------
        features : EncodedFeatures
            n encoded rows.

        Returns
        -------
        ndarray of float32
            Probabilities of shape (n, classes), or values of shape (n, 1) for regression.
        """
        feed = {name: getattr(features, name) for name in self._inputs}
        prediction: np.ndarray = self._session.run(self._outputs, feed, self._options)[0]
        return prediction

    def predict_as(self, features: EncodedFeatures, classes: Sequence[str]) -> np.ndarray:
        """Predict encoded rows, with a column for each of the given classes.

        Parameters
        ----------
        features : EncodedFeatures
            n encoded rows.
        classes : sequence of str
            Names of classes. Empty for regression.

        Returns
        -------
        ndarray of float32
            Probabilities of shape (n, len(classes)), with 0 for a class that the model does not
            know. For regression, values of shape (n, 1).
        """
        prediction = self.predict(features)
        return align(prediction, self.manifest.classes, classes) if classes else prediction

    def decision_for(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return the arguments of `to_labels` for probabilities of the given classes.

        Parameters
        ----------
        classes : sequence of str
            Names of classes, in the order of the probabilities' columns.

        Returns
        -------
        dict
            `threshold`, or `weights` with 1 for a class that the model does not know.
        """
        if not self.manifest.weights:
            return {"threshold": self.manifest.threshold}
        weight = dict(zip(self.manifest.classes, self.manifest.weights, strict=True))
        return {"weights": [weight.get(label, 1.0) for label in classes]}

    def labels(self, prediction: np.ndarray) -> np.ndarray:
        """Return the predicted classes for the model's own probabilities.

        Parameters
        ----------
        prediction : ndarray of shape (n, classes)
            Probabilities from `predict`.

        Returns
        -------
        ndarray of int64, shape (n,)
            Indices into `manifest.classes`; see `to_labels`.
        """
        return to_labels(prediction, self.manifest.threshold, self.manifest.weights)

    def score(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Predict typed rows, as the API does.

        Parameters
        ----------
        rows : list of dict
            n rows, each from the name of a feature to its typed value.

        Returns
        -------
        list of dict
            As `describe` returns them.
        """
        return self.describe(self.predict(self.contract.encode(self.columns(rows))))

    def columns(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
        """Return rows as columns.

        Parameters
        ----------
        rows : sequence of mapping
            n rows, each from the name of a feature to its typed value.

        Returns
        -------
        dict of str to sequence
            From the name of each feature to its n values, None where a row lacks it.
        """
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

    def describe(self, prediction: np.ndarray) -> list[dict[str, Any]]:
        """Return predictions in the form of `score`.

        Parameters
        ----------
        prediction : ndarray of shape (n, classes) or (n, 1)
            Probabilities or values from `predict`.

        Returns
        -------
        list of dict
            For each row `label`, `probability` of that label and `probabilities` of all classes,
            and with prediction sets `set` and `coverage`; or for regression `value`, and with
            prediction intervals `low`, `high` and `coverage`.
        """
        classes, conformal = self.manifest.classes, self.manifest.conformal
        if not classes:
            values = prediction[:, 0].tolist()
            if not (conformal and conformal.margins):
                return [{"value": value} for value in values]
            margin, floor, coverage = conformal.margins[0], conformal.floor, conformal.coverage
            # As `Conformal.bounds`, which takes longer for one row.
            reaches = (
                [margin] * len(values)
                if floor is None
                else [margin * max(abs(value), floor) for value in values]
            )
            return [
                {"value": value, "low": value - reach, "high": value + reach, "coverage": coverage}
                for value, reach in zip(values, reaches, strict=True)
            ]
        labels = self.labels(prediction)
        described: list[dict[str, Any]] = [
            {
                "label": classes[label],
                "probability": probabilities[label],
                "probabilities": dict(zip(classes, probabilities, strict=True)),
            }
            for label, probabilities in zip(labels.tolist(), prediction.tolist(), strict=True)
        ]
        within = conformal.sets(prediction, labels) if conformal else None
        if within is not None:
            assert conformal
            for one, inside in zip(described, within.tolist(), strict=True):
                one["set"] = list(compress(classes, inside))
                one["coverage"] = conformal.coverage
        return described
