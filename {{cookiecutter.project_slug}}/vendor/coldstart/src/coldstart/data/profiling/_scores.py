"""Scores of one column, and of all columns together: quick, and out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import rankdata

from coldstart.data.profiling._profiles import ColumnProfile

ROWS = 20_000  # rows that scores are measured on
TEXT_ROWS = 4_000
TOGETHER_ROWS = 8_000
CLASSES = 10  # the commonest, for which scores are measured
FOLDS = 5
BINS = 40
HUGE = 1e100  # whose square is still a number


@dataclass
class Target:
    """The target of n rows.

    Attributes
    ----------
    shown : ndarray of float64, shape (n, k)
        For each of k classes whether a row is of it. Of a numeric target its values (k = 1).
    codes : ndarray of int64, shape (n,)
        Class of each row. Of a numeric target its decile.
    classifies : bool
        Whether the target is a class.
    names : list of str
        Names of the classes. Empty for a numeric target.
    groups : ndarray of shape (n,) or None
        The group of each row, if rows are split by group.
    """

    shown: np.ndarray
    codes: np.ndarray
    classifies: bool
    names: list[str]
    groups: np.ndarray | None = None

    @classmethod
    def of(cls, values: pl.Series, groups: np.ndarray | None = None) -> Target:
        """Encode typed values, none of them missing."""
        if values.dtype.is_float():
            shown = values.to_numpy().astype(np.float64).clip(-HUGE, HUGE)
            tenth = (rankdata(shown, "ordinal") - 1) * 10 // max(1, len(shown))
            return cls(shown[:, None], tenth.astype(np.int64), False, [], groups)
        text = values.cast(pl.String).alias("value")
        names = text.value_counts(sort=True).sort("count", "value", descending=[True, False])
        order = names["value"].to_list()
        codes = text.cast(pl.Enum(order)).to_physical().to_numpy().astype(np.int64)
        # Of two classes one says it all: the rarer.
        tested = [1] if len(order) == 2 else range(min(CLASSES, len(order)))
        shown = np.stack([codes == one for one in tested], axis=1).astype(np.float64)
        return cls(shown, codes, True, order, groups)

    @property
    def metric(self) -> str:
        """Name of the score."""
        return "ROC AUC" if self.classifies else "R²"

    @property
    def nothing(self) -> float:
        """Score without any information."""
        return 0.5 if self.classifies else 0.0

    def strength(self, score: float) -> float:
        """Scale a score to 0 for no information and 1 for perfect."""
        return max(0.0, (score - self.nothing) / (1 - self.nothing))

    def score(self, predicted: np.ndarray, rows: np.ndarray | None = None) -> float:
        """Return ROC AUC, averaged over the classes, or R², of predictions of shape (n, k)."""
        shown = self.shown if rows is None else self.shown[rows]
        if not self.classifies:
            spread = float(((shown - shown.mean()) ** 2).sum())
            return 1 - float(((shown - predicted) ** 2).sum()) / spread if spread else 0.0
        found = []
        for one in range(shown.shape[1]):
            positive = shown[:, one] == 1
            p, n = int(positive.sum()), int((~positive).sum())
            if p and n:
                rank = rankdata(predicted[:, one])[positive].sum()
                found.append((rank - p * (p + 1) / 2) / (p * n))
        return float(np.mean(found)) if found else 0.5

    def __getitem__(self, rows: np.ndarray) -> Target:
        """Return some of the rows."""
        groups = None if self.groups is None else self.groups[rows]
        return Target(self.shown[rows], self.codes[rows], self.classifies, self.names, groups)

    def folds(self, count: int) -> np.ndarray:
        """Return the number of each row's fold, shape (n,); that of a group is that of its rows."""
        if self.groups is None:
            return np.random.default_rng(0).permutation(len(self.codes)) % count
        number = np.unique(self.groups, return_inverse=True)[1]
        fold: np.ndarray = np.random.default_rng(0).permutation(number.max() + 1)[number] % count
        return fold


def bins(profile: ColumnProfile, values: pl.Series) -> np.ndarray:
    """Return the index of each row's category, or of its number's bin, with 0 for missing."""
    if profile.type in ("category", "boolean"):
        return values.cast(pl.String).rank("dense").fill_null(0).to_numpy().astype(np.int64)
    quantity = values.to_physical().cast(pl.Float64).to_numpy()
    known = ~np.isnan(quantity)
    codes = np.zeros(len(quantity), dtype=np.int64)
    if known.any():
        number = int(np.clip(known.sum() // 15, 2, BINS))
        edges = np.unique(np.quantile(quantity[known], np.linspace(0, 1, number + 1)[1:-1]))
        common = np.unique(quantity[known])
        if len(common) <= BINS:
            edges = (common[1:] + common[:-1]) / 2
        codes[known] = 1 + np.searchsorted(edges, quantity[known], side="right")
    return codes


def out_of_fold(codes: np.ndarray, target: Target) -> np.ndarray:
    """Predict each row by the mean of the other folds' rows of the same code, shape (n, k)."""
    n, k = target.shown.shape
    fold = target.folds(FOLDS)
    size = int(codes.max()) + 1
    cell = codes + size * fold
    count = np.bincount(cell, minlength=size * FOLDS).reshape(FOLDS, size).astype(np.float64)
    predicted = np.empty((n, k))
    for one in range(k):
        total = np.bincount(cell, target.shown[:, one], size * FOLDS).reshape(FOLDS, size)
        others = total.sum(0) - total
        rows = count.sum(0) - count
        prior = others.sum(1, keepdims=True) / np.maximum(1, rows.sum(1, keepdims=True))
        predicted[:, one] = ((others + prior) / (rows + 1))[fold, codes]
    return predicted


def line_out_of_fold(quantity: np.ndarray, target: Target) -> np.ndarray:
    """Predict each row by a straight line through the other folds' rows, shape (n, k)."""
    known = ~np.isnan(quantity)
    x = np.where(known, quantity, quantity[known].mean() if known.any() else 0.0)
    x = (x - x.mean()) / (x.std() or 1.0)
    n, k = target.shown.shape
    fold = target.folds(FOLDS)

    def rest(values: np.ndarray) -> np.ndarray:
        total: np.ndarray = np.bincount(fold, values, FOLDS)
        others: np.ndarray = total.sum() - total
        return others

    count, sum_x, sum_xx = rest(np.ones(n)), rest(x), rest(x * x)
    predicted = np.empty((n, k))
    for one in range(k):
        y = target.shown[:, one]
        sum_y, sum_xy = rest(y), rest(x * y)
        slope = (count * sum_xy - sum_x * sum_y) / np.maximum(count * sum_xx - sum_x**2, 1e-9)
        level = (sum_y - slope * sum_x) / np.maximum(count, 1)
        predicted[:, one] = level[fold] + slope[fold] * x
    return predicted


def words_out_of_fold(texts: Sequence[str], target: Target) -> np.ndarray:
    """Predict each row by the words of its text, shape (n, k)."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge

    n, k = target.shown.shape
    fold = target.folds(3)
    predicted = np.tile(target.shown.mean(0), (n, 1))
    try:
        weights = TfidfVectorizer(max_features=5_000, sublinear_tf=True).fit_transform(texts)
    except ValueError:  # there is no word in it
        return predicted
    for held_out in range(3):
        rest = fold != held_out
        model = Ridge(alpha=1.0, solver="sparse_cg").fit(weights[rest], target.shown[rest])
        predicted[~rest] = model.predict(weights[~rest]).reshape(-1, k)
    return predicted


def prediction(profile: ColumnProfile, values: pl.Series, target: Target) -> np.ndarray:
    """Predict from one column alone, out of fold, with NaN for rows beyond the sample."""
    if profile.type != "text":
        return out_of_fold(bins(profile, values), target)
    rows = np.random.default_rng(0).permutation(len(values))[:TEXT_ROWS]
    predicted = np.full(target.shown.shape, np.nan)
    predicted[rows] = words_out_of_fold(values.fill_null("")[rows].to_list(), target[rows])
    return predicted


def alone(profile: ColumnProfile, values: pl.Series, target: Target) -> float:
    """Score one column alone."""
    predicted = prediction(profile, values, target)
    rows = np.flatnonzero(~np.isnan(predicted[:, 0]))
    score = target.score(predicted[rows], rows)
    if profile.type in ("number", "date") and len(values) < 2_000:  # bins are coarse for few rows
        quantity = values.to_physical().cast(pl.Float64).to_numpy()
        score = max(score, target.score(line_out_of_fold(quantity, target)))
    return score


@dataclass
class ForestData:
    """Columns as a forest is fitted on them.

    Attributes
    ----------
    target : Target
        The target of n rows.
    table : ndarray of float32, shape (n, k)
        Encoded columns.
    position : ndarray of int64, shape (k,)
        For each encoded column the position of the column that it is of.
    """

    target: Target
    table: np.ndarray
    position: np.ndarray

    @classmethod
    def of(
        cls,
        profiles: Sequence[tuple[ColumnProfile, pl.Series]],
        target: Target,
        limit: int = TOGETHER_ROWS,
    ) -> ForestData:
        """Encode a sample of the rows."""
        if any(profile.type == "text" for profile, _ in profiles):
            limit = min(limit, TEXT_ROWS)
        rows = np.random.default_rng(0).permutation(len(target.codes))[:limit]
        part = target[rows]
        columns: list[np.ndarray] = []
        position: list[int] = []
        for place, (profile, values) in enumerate(profiles):
            some = values[rows]
            if profile.type in ("category", "text") and profile.distinct > 2:
                columns += list(prediction(profile, some, part)[:, :3].T)
            elif profile.type == "number" or profile.type == "date":
                columns.append(some.to_physical().cast(pl.Float64).fill_null(-1e9).to_numpy())
            else:
                columns.append(bins(profile, some).astype(np.float64))
            position += [place] * (len(columns) - len(position))
        table = np.nan_to_num(np.stack(columns, axis=1)).clip(-1e30, 1e30).astype(np.float32)
        return cls(part, table, np.array(position))

    def without(self, places: Sequence[int]) -> ForestData:
        """Return the same rows without some columns."""
        kept = ~np.isin(self.position, places)
        return ForestData(self.target, self.table[:, kept], self.position[kept])

    def score(self) -> tuple[float, np.ndarray]:
        """Return the score of a forest, and the importance of each column."""
        part, classes = self.target, len(np.unique(self.target.codes))
        if part.classifies and classes < 2:
            return part.nothing, np.zeros(self.position.max() + 1)
        y = part.codes if part.classifies else part.shown[:, 0]
        predicted, weights = forest_predictions(self.table, y, part)
        if part.classifies:
            tested = [1] if len(part.names) == 2 else list(range(part.shown.shape[1]))
            predicted = np.nan_to_num(predicted[:, tested])
        return part.score(predicted), np.bincount(self.position, weights)


def together(profiles: Sequence[tuple[ColumnProfile, pl.Series]], target: Target) -> float:
    """Score many columns together, by predictions of a random forest for rows held out.

    Those are out of bag, or, if rows are split by group, of other folds: out of its bag a row still
    has rows of its own group in it.
    """
    if not profiles or len(target.codes) < 20:
        return target.nothing
    return ForestData.of(profiles, target).score()[0]


def forest_predictions(
    table: np.ndarray, y: np.ndarray, target: Target
) -> tuple[np.ndarray, np.ndarray]:
    """Predict each row by trees that did not see it, shape (n, classes) or (n, 1).

    The importance of each column is returned as well, shape (k,).
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    settings = {"n_estimators": 80, "n_jobs": 2, "random_state": 0, "min_samples_leaf": 2}
    out_of_bag = target.groups is None
    if target.classifies:
        forest = RandomForestClassifier(max_features="sqrt", oob_score=out_of_bag, **settings)
        predicted = np.zeros((len(y), max(len(target.names), y.max() + 1)))
    else:
        forest = RandomForestRegressor(max_features=0.4, oob_score=out_of_bag, **settings)
        predicted = np.zeros((len(y), 1))
    fold = np.zeros(len(y)) if out_of_bag else target.folds(FOLDS)
    for held_out in np.unique(fold):
        rows = fold == held_out
        forest.fit(table[~rows | out_of_bag], y[~rows | out_of_bag])
        if not target.classifies:
            values = forest.oob_prediction_ if out_of_bag else forest.predict(table[rows])
            predicted[rows, 0] = values
        else:
            shares = (
                forest.oob_decision_function_ if out_of_bag else forest.predict_proba(table[rows])
            )
            predicted[np.ix_(rows, forest.classes_)] = shares
    return predicted, forest.feature_importances_
