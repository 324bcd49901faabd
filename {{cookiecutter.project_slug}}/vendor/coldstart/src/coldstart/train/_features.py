"""Fitted steps that turn encoded columns into model inputs.

Outliers, missing values, rare and unknown categories are handled here, by steps
that are fitted on training rows alone and exported with the model, so that what
serves is what was evaluated.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest, f_classif, f_regression
from sklearn.pipeline import make_pipeline

from coldstart.contract._contract import EncodedFeatures

NEAR, FAR = 3, 20  # interquartile ranges beyond the quartiles: still usual, and never usual
WORDS = "[a-z0-9_]+"  # onnxruntime finds words by plain patterns only


class RobustNumbers(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer that clips outliers, fills and flags missing values, and scales.

    Parameters
    ----------
    clip : float, default=0.005
        Fraction of values at each end that may be outliers. A value is clipped to the fitted
        quantile, but not within `NEAR` interquartile ranges of the quartiles (so that a series may
        continue to rise), and always beyond `FAR` of them.
    scale : bool, default=True
        Whether to subtract the median and divide by the interquartile range (by the standard
        deviation where that range is zero).

    Notes
    -----
    Computed in float32 throughout, as in the exported graph, so that a tree fitted on the output
    takes the same side of each threshold there.
    """

    def __init__(self, clip: float = 0.005, scale: bool = True) -> None:
        self.clip = clip
        self.scale = scale

    def fit(self, X: Any, y: Any = None) -> Self:
        """Compute the quantiles, medians and scales of each column.

        Parameters
        ----------
        X : array-like of shape (n, columns)
            Numbers, NaN where a value is missing.
        y : None
            Not used.

        Returns
        -------
        RobustNumbers
            The same object.
        """
        numbers = np.asarray(X, dtype=np.float32)
        self.n_features_in_ = numbers.shape[1]
        missing = np.isnan(numbers).any(axis=0)
        self.flagged_ = np.flatnonzero(missing)
        ends = [self.clip, 0.25, 0.5, 0.75, 1 - self.clip]
        quantiles = np.empty((len(ends), numbers.shape[1]))
        # Columns with missing values are computed one by one, which takes long for many.
        quantiles[:, ~missing] = np.quantile(numbers[:, ~missing], ends, axis=0)
        quantiles[:, missing] = np.nanquantile(numbers[:, missing], ends, axis=0)
        low, lower, middle, upper, high = quantiles
        usual = upper - lower
        low, high = np.minimum(low, lower - NEAR * usual), np.maximum(high, upper + NEAR * usual)
        # If the quantile is itself an outlier, the quartiles set the limit.
        reach = np.where(usual > 0, FAR * usual, np.inf)
        low, high = np.maximum(low, lower - reach), np.minimum(high, upper + reach)
        clipped = np.clip(numbers, low, high)
        spread = np.where(upper > lower, upper - lower, np.nanstd(clipped, axis=0))
        self.low_, self.high_ = low.astype(np.float32), high.astype(np.float32)
        self.median_ = middle.astype(np.float32)
        self.spread_ = np.where(spread > 0, spread, 1).astype(np.float32)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the cleaned columns, and then flags of missing values.

        A column that had no missing value when this step was fitted has no flag.

        Parameters
        ----------
        X : array-like of shape (n, columns)
            Numbers, NaN where a value is missing.

        Returns
        -------
        ndarray of float32, shape (n, columns + flags)
            The cleaned columns, then 1 where a value was missing and 0 elsewhere.
        """
        numbers = np.asarray(X, dtype=np.float32)
        missing = np.isnan(numbers)
        numbers = np.where(missing, self.median_, np.clip(numbers, self.low_, self.high_))
        if self.scale:
            numbers = (numbers - self.median_) / self.spread_
        return np.hstack([numbers, missing[:, self.flagged_].astype(np.float32)])


class FrequentCategories(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer that gives each frequent category a code, and all others the code 0.

    A category that is rare in the training rows and one that they lack get the same code, since too
    little is known about either.

    Parameters
    ----------
    min_frequency : int, default=10
        Number of rows that a category needs to get a code of its own.
    """

    def __init__(self, min_frequency: int = 10) -> None:
        self.min_frequency = min_frequency

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the frequent categories of each column.

        Parameters
        ----------
        X : array-like of shape (n, columns)
            Categories.
        y : None
            Not used.

        Returns
        -------
        FrequentCategories
            The same object.
        """
        strings = np.asarray(X, dtype=object)
        self.n_features_in_ = strings.shape[1]
        self.categories_ = []
        for column in strings.T:
            # An array of fixed width would take as much for each row as for the longest one.
            counts = Counter(map(str, column))
            self.categories_.append(
                sorted(one for one, count in counts.items() if count >= self.min_frequency)
            )
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the codes of the categories.

        Parameters
        ----------
        X : array-like of shape (n, columns)
            Categories.

        Returns
        -------
        ndarray of int64, shape (n, columns)
            Codes from 1 in the order of the column's frequent categories; 0 for all others.
        """
        strings = np.asarray(X, dtype=object)
        numbers = np.empty(strings.shape, dtype=np.int64)
        for i, categories in enumerate(self.categories_):
            number = {category: n for n, category in enumerate(categories, start=1)}
            numbers[:, i] = [number.get(value, 0) for value in strings[:, i]]
        return numbers


def as_frame(matrices: EncodedFeatures) -> pl.DataFrame:
    """Return both matrices side by side, as scikit-learn's ColumnTransformer expects them."""
    columns = [*matrices.numbers.T, *matrices.strings.T]
    return pl.DataFrame({str(i): column for i, column in enumerate(columns)})


def text_features(words: int = 0, classifies: bool = True) -> Any:
    """Build a transformer of one text column.

    Parameters
    ----------
    words : int, default=0
        For trees: the number of words whose occurrence is encoded, those with the strongest
        relation to the target. With 0 the TF-IDF weights of all words are encoded. (These weights
        differ in the last digit between scikit-learn and the graph, and a tree may then take
        another branch.)
    classifies : bool, default=True
        Whether the target is a class.

    Returns
    -------
    transformer
        An unfitted scikit-learn transformer.
    """
    # Lower case needs a locale in onnxruntime: the column's type has seen to that.
    how = {"lowercase": False, "token_pattern": WORDS, "max_features": 10_000}
    if not words:
        return TfidfVectorizer(**how)
    occurs = TfidfVectorizer(**how, use_idf=False, norm=None)
    return make_pipeline(occurs, SelectKBest(f_classif if classifies else f_regression, k=words))
