"""Fitting one model type to rows of a dataset, and estimating how long that takes."""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from coldstart.bundle._predictor import align
from coldstart.config._settings import Settings
from coldstart.contract._contract import EncodedFeatures
from coldstart.data._dataset import Dataset
from coldstart.data._shards import Shards
from coldstart.errors import UserError
from coldstart.train._context import Context, EpochReport, Family
from coldstart.train._features import as_frame
from coldstart.train._folds import FittedPredictor
from coldstart.train._forecasts import DifferencedRegressor, LagReference
from coldstart.train._weighted_fit import fit_weighted

FEW_VALUES = 300_000  # of a table, for which one thread of linear algebra is faster than several
VERY_FEW_VALUES = 50_000  # for which one thread is faster for trees as well
TRIAL_ROWS = 1_500, 4_500  # rows of the two fits that a duration is extrapolated from


@dataclass
class Fitter:
    """A function that fits one model type to rows of a dataset, and measures the time.

    Called with row numbers, a fitter returns a function that predicts other rows. It is the
    argument `fit` of `predict_validation_rows` and `predict_test_rows`. What was fitted to the same
    rows before is returned again, with what it has predicted: an ensemble and each step of a
    forecast use it.

    Parameters
    ----------
    family : callable
        Builds the pipeline: see `Context`.
    settings : Settings
        The project's settings.
    dataset : Dataset
        The prepared rows.
    hyperparameters : dict, default={}
        Values that override the model type's own.
    checkpoints : Path, default=Path("checkpoints")
        Folder for the state of a training that may be interrupted.
    report : callable, optional
        Function that is called with the epochs of the fits for validation and test; see `Context`.
    stream : bool, default=False
        Whether a model that can stream trains on all rows of Parquet files.
    seconds, cpu_seconds : float, default=0.0
        Elapsed time and CPU time of all fits so far, which each fit adds to.
    """

    family: Family
    settings: Settings
    dataset: Dataset
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    checkpoints: Path = Path("checkpoints")
    report: EpochReport | None = None
    stream: bool = False
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    _fitted: dict[bytes, Any] = field(default_factory=dict, init=False, repr=False)
    _predictors: dict[bytes, FittedPredictor] = field(default_factory=dict, init=False, repr=False)
    _without: dict[tuple[str, ...], Fitter] = field(default_factory=dict, init=False, repr=False)

    def fit(self, rows: np.ndarray, report: EpochReport | None = None) -> Any:
        """Fit a pipeline, or return the one that was fitted to the same rows before.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
            Row numbers of the dataset's table.
        report : callable, optional
            Function that is called with the epochs of this fit.

        Returns
        -------
        Pipeline or DifferencedRegressor
            The fitted pipeline, wrapped if it predicts changes of a time series.

        Raises
        ------
        UserError
            If the library cannot fit it to these rows.
        """
        key = rows.tobytes()
        if key not in self._fitted:
            self._fitted[key] = self._fit(rows, report)
        return self._fitted[key]

    def _fit(self, rows: np.ndarray, report: EpochReport | None) -> Any:
        dataset = self.dataset
        features, target = dataset.features(rows), dataset.target(rows)
        past = LagReference.of(dataset.contract, features.numbers, target)
        context = Context(
            contract=dataset.contract,
            seed=self.settings.seed,
            neural=self.settings.neural,
            target=past.change(target, features.numbers) if past else target,
            checkpoints=self.checkpoints,
            hyperparameters=self.hyperparameters,
            stream=partial(Shards.of, self.settings.data, dataset, rows) if self.stream else None,
            **({"report": report} if report else {}),
        )
        start, busy = time.perf_counter(), cpu_seconds()
        try:
            with warnings.catch_warnings(), one_thread(features):
                # They warn of slow convergence or rare classes: the score measures what that costs.
                warnings.simplefilter("ignore", UserWarning)
                model = self.family(context)
                if past:
                    model = DifferencedRegressor(model, past, features.numbers.shape[1])
                return fit_weighted(model, as_frame(features), target, dataset.sample_weight(rows))
        except (ValueError, TypeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"cannot be fitted to these rows: {reason}") from error
        finally:
            self.seconds += time.perf_counter() - start
            self.cpu_seconds += cpu_seconds() - busy

    def __call__(self, rows: np.ndarray) -> FittedPredictor:
        """Fit to some rows, and return a function that predicts others."""
        key = rows.tobytes()
        if key not in self._predictors:
            model, classes = self.fit(rows, self.report), self.dataset.classes
            self._predictors[key] = FittedPredictor(
                self.dataset, lambda features: predict_aligned(model, features, classes)
            )
        return self._predictors[key]

    def without(self, names: list[str]) -> Fitter:
        """Return the fitter of the same model type without some features, with its own times.

        Parameters
        ----------
        names : list of str
            Names of features, not of all.

        Returns
        -------
        Fitter
            The same one for the same names.
        """
        key = tuple(names)
        if key not in self._without:
            self._without[key] = replace(
                self,
                dataset=self.dataset.without(names),
                checkpoints=self.checkpoints / "without",
                report=None,
                seconds=0.0,
                cpu_seconds=0.0,
            )
        return self._without[key]


def one_thread(features: EncodedFeatures) -> AbstractContextManager[Any]:
    """Keep libraries on one thread where rows are few: waiting for others takes longer."""
    size = features.numbers.size + features.strings.size
    if size > FEW_VALUES:
        return nullcontext()
    which = None if size <= VERY_FEW_VALUES else "blas"  # None: OpenMP as well
    single: AbstractContextManager[Any] = libraries().limit(limits=1, user_api=which)
    return single


@cache
def libraries() -> ThreadpoolController:
    """Return the numerical libraries that are loaded, found once."""
    return ThreadpoolController()


def estimate_seconds(family: Family, settings: Settings, dataset: Dataset) -> float:
    """Estimate the CPU time of a model type, from fits of a few thousand of very many rows.

    Returns
    -------
    float
        Seconds; 0 where the rows are so few that an estimate would take as long.

    Raises
    ------
    UserError
        If the library cannot fit it to these rows.
    """
    train = dataset.splits[0].train
    if len(train) < 4 * TRIAL_ROWS[-1]:
        return 0.0
    some = np.random.default_rng(settings.seed).permutation(train)
    took = []
    for rows in TRIAL_ROWS:  # two sizes, since a part of the time does not grow with the rows
        start = cpu_seconds()
        with tempfile.TemporaryDirectory() as folder:
            Fitter(family, settings, dataset, checkpoints=Path(folder)).fit(some[:rows])
        took.append(cpu_seconds() - start)
    a_row = max(0.0, took[1] - took[0]) / (TRIAL_ROWS[1] - TRIAL_ROWS[0])
    return 2 * (took[0] + a_row * len(train))  # to choose, and once more with all rows


def predict(pipeline: Pipeline, features: EncodedFeatures) -> np.ndarray:
    """Predict with a fitted pipeline: probabilities (n, classes) or values (n, 1)."""
    frame = as_frame(features)
    if hasattr(pipeline, "classes_"):
        probabilities: np.ndarray = pipeline.predict_proba(frame)
        return probabilities
    return np.asarray(pipeline.predict(frame)).reshape(-1, 1)


def predict_aligned(
    pipeline: Pipeline, features: EncodedFeatures, classes: list[str]
) -> np.ndarray:
    """Predict as `predict` does, with a column for each of the dataset's classes."""
    prediction = predict(pipeline, features)
    if not classes:
        return prediction
    return align(prediction, pipeline.classes_, range(len(classes)))


def cpu_seconds() -> float:
    """Return the CPU time of this process and of those that it waited for, in seconds."""
    # The times that `os.times` has of this process are rounded to hundredths of a second.
    return time.process_time() + sum(os.times()[2:4])
