"""What a bundle knows of its errors: intervals around predicted numbers, and sets of classes."""

from __future__ import annotations

import json
from itertools import compress

import numpy as np
from pydantic import BaseModel, ConfigDict


class Conformal(BaseModel):
    """How far predictions of held-out rows were off, for prediction intervals and sets.

    Parameters
    ----------
    coverage : float
        Share of outcomes that the intervals or sets are made to contain.
    units : int
        Number of held-out rows, or of groups of them, that the errors are of.
    margins : list of float, default=[]
        For a numeric target, the distance from a prediction to both ends of its interval, in the
        target's unit; of a forecast for each step of the horizon. Those after the first step that
        too few held-out rows are known of are left out.
    floor : float, optional
        Where errors grow with the prediction, margins are shares of it: they are multiplied by the
        absolute prediction, or by this number if it is larger. By default they are not.
    least : float, optional
        For more than two classes, the probability from which on a class is in the prediction set.
        The predicted class always is.
    """

    model_config = ConfigDict(extra="forbid")

    coverage: float
    units: int
    margins: list[float] = []
    floor: float | None = None
    least: float | None = None

    @property
    def exists(self) -> bool:
        """Whether there are prediction intervals or sets: enough held-out rows are known."""
        return bool(self.margins) or self.least is not None

    def scale(self, values: np.ndarray) -> np.ndarray | float:
        """Return what margins are multiplied by for these predictions.

        Parameters
        ----------
        values : ndarray of shape (n,)
            Predictions.

        Returns
        -------
        ndarray of shape (n,) or float
            Their absolute values, at least the floor; 1 without a floor.
        """
        return 1.0 if self.floor is None else np.maximum(np.abs(values), self.floor)

    def bounds(
        self, values: np.ndarray, steps: np.ndarray | int = 1
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return both ends of the intervals of predicted numbers.

        Parameters
        ----------
        values : ndarray of shape (n,)
            Predictions.
        steps : ndarray of int of shape (n,) or int, default=1
            Step of the forecast, from 1.

        Returns
        -------
        tuple of two ndarrays of shape (n,), or None
            NaN for steps without a margin. None without any margin.
        """
        if not self.margins:
            return None
        margins = np.append(self.margins, np.nan)
        reach = margins[np.minimum(steps, len(margins)) - 1] * self.scale(values)
        return values - reach, values + reach

    def sets(self, prediction: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
        """Return which classes are in the prediction sets.

        Parameters
        ----------
        prediction : ndarray of shape (n, classes)
            Probabilities.
        labels : ndarray of int, shape (n,)
            Predicted classes, as indices.

        Returns
        -------
        ndarray of bool, shape (n, classes), or None
            None without prediction sets.
        """
        if self.least is None:
            return None
        within: np.ndarray = prediction >= self.least
        within[np.arange(len(labels)), labels] = True
        return within

    def describe_sets(
        self, prediction: np.ndarray, labels: np.ndarray, classes: list[str]
    ) -> list[str] | None:
        """Return the prediction sets as lists in JSON, for a column of a file.

        Parameters
        ----------
        prediction : ndarray of shape (n, classes)
            Probabilities.
        labels : ndarray of int, shape (n,)
            Predicted classes, as indices.
        classes : list of str
            Names of the classes.

        Returns
        -------
        list of str, or None
            None without prediction sets.
        """
        within = self.sets(prediction, labels)
        if within is None:
            return None
        return [
            json.dumps(list(compress(classes, inside)), ensure_ascii=False)
            for inside in within.tolist()
        ]

    def covers(
        self, target: np.ndarray, prediction: np.ndarray, labels: np.ndarray
    ) -> np.ndarray | None:
        """Return whether the interval or set of each row contains its outcome.

        Parameters
        ----------
        target : ndarray of shape (n,)
            Numbers, or class indices.
        prediction : ndarray of shape (n, 1) or (n, classes)
            Numbers, or probabilities.
        labels : ndarray of int, shape (n,)
            Predicted classes, as indices.

        Returns
        -------
        ndarray of bool, shape (n,), or None
            None without intervals or sets.
        """
        if prediction.shape[1] > 1:
            within = self.sets(prediction, labels)
            return None if within is None else within[np.arange(len(target)), target]
        ends = self.bounds(prediction[:, 0].astype(np.float64))
        return None if ends is None else (ends[0] <= target) & (target <= ends[1])
