"""Forecasts: models are fitted to the change from an earlier value, which is added again.

Few models extrapolate a rising level; all of them can predict the change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import onnx
import polars as pl
from onnx import TensorProto, helper, numpy_helper
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, RegressorMixin, clone

from coldstart.contract._contract import Contract, feature_slices
from coldstart.train._weighted_fit import fit_weighted
from coldstart.train._weights import put_back, set_aside

WORTH = 1.0  # of the target's standard deviation: changes that vary more are not worth it
GROWS = 0.2  # rank correlation of level and change: from here on, changes are shares
FURTHER = 10.0  # than any that was seen, no level is
FARTHEST = 5.0  # no share grows by more than this, as a logarithm


@dataclass(frozen=True)
class LagReference:
    """The earlier value from which the target's change is computed.

    Parameters
    ----------
    base : int
        Column of the numbers with the earlier value.
    lags : list of int
        Columns with other earlier values, the nearest to the target first. They are encoded
        relative to it as well, and the first known one replaces it where it is missing.
    ratio : bool
        Whether changes are ratios (of sales) or differences (of degrees).
    low, high : float
        Limits of the earlier value if changes are ratios.
    usual : float
        Replacement where all earlier values are missing.
    """

    base: int
    lags: list[int]
    ratio: bool
    low: float
    high: float
    usual: float

    @classmethod
    def of(cls, contract: Contract, numbers: np.ndarray, target: np.ndarray) -> LagReference | None:
        """Return the earlier value that is nearest to the target, or None if none is near.

        Parameters
        ----------
        contract : Contract
            The data contract.
        numbers : ndarray of shape (n, columns)
            Encoded numbers of the rows to fit on.
        target : ndarray of shape (n,)
            Their targets.
        """
        names = [name for name, lag in contract.lags.items() if lag.lag_of == contract.target]
        if not names:
            return None
        where = feature_slices(contract)
        lags = [where[name].start for name in names]
        errors = {lag: float(np.sqrt(np.nanmean((target - numbers[:, lag]) ** 2))) for lag in lags}
        if min(errors.values()) > WORTH * float(np.std(target)):
            return None
        base = min(errors, key=lambda lag: errors[lag])
        level = numbers[:, base].astype(np.float64)
        known = ~np.isnan(level)
        positive = bool(target.min() > 0) and all(np.nanmin(numbers[:, lag]) > 0 for lag in lags)
        change = np.abs(target - level)[known]
        grows = positive and float(spearmanr(level[known], change).statistic) > GROWS
        others = sorted((lag for lag in lags if lag != base), key=lambda lag: errors[lag])
        limits = float(level[known].min()) / FURTHER, float(level[known].max()) * FURTHER
        return cls(base, others, grows, *limits, float(np.median(level[known])))

    def level(self, numbers: np.ndarray) -> np.ndarray:
        """Return the earlier value of each row, shape (n, 1)."""
        level: np.ndarray = numbers[:, [self.base]]
        for lag in self.lags:
            level = np.where(np.isnan(level), numbers[:, [lag]], level)
        level = np.where(np.isnan(level), np.float32(self.usual), level)
        return np.clip(level, *self._limits) if self.ratio else level

    @property
    def _limits(self) -> tuple[np.float32, np.float32]:
        return np.float32(self.low), np.float32(self.high)

    def changes(self, numbers: np.ndarray) -> np.ndarray:
        """Return the columns, with the other earlier values as differences from this one."""
        level, found = self.level(numbers), numbers.copy()
        others = numbers[:, self.lags]
        if self.ratio:
            # No logarithm: its last digit depends on the library, and a tree may turn on it.
            found[:, self.lags] = np.clip(others, *self._limits) / level
        else:
            found[:, self.lags] = others - level
        return found

    def change(self, target: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return the differences that the model is fitted to, shape (n,)."""
        level = self.level(numbers)[:, 0].astype(np.float64)
        change: np.ndarray = np.log(target / level) if self.ratio else target - level
        return change

    def value(self, change: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return the target for predicted changes, shape (n,)."""
        level = self.level(numbers)[:, 0]
        if self.ratio:
            return np.asarray(level * np.exp(np.clip(change, -FARTHEST, FARTHEST)))
        return np.asarray(level + change)


class DifferencedRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A pipeline that is fitted to changes of the target, and predicts its values.

    Parameters
    ----------
    pipeline : Pipeline
        Pipeline of the columns of both matrices side by side.
    past : LagReference
        The value that changes are relative to.
    width : int
        Number of numeric columns, which are the first.
    """

    def __init__(self, pipeline: Any, past: LagReference, width: int) -> None:
        self.pipeline, self.past, self.width = pipeline, past, width

    def fit(self, X: pl.DataFrame, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Self:
        """Fit the pipeline to the changes."""
        change, changed = self.past.change(y, self._numbers(X)), self._changed(X)
        self.pipeline_ = fit_weighted(clone(self.pipeline), changed, change, sample_weight)
        return self

    def predict(self, X: pl.DataFrame) -> np.ndarray:
        """Return values of shape (n,)."""
        change = np.ravel(self.pipeline_.predict(self._changed(X)))
        return self.past.value(change, self._numbers(X))

    def _numbers(self, X: pl.DataFrame) -> np.ndarray:
        return X[:, : self.width].to_numpy()

    def _changed(self, X: pl.DataFrame) -> pl.DataFrame:
        columns = self.past.changes(self._numbers(X)).T
        return X.with_columns(pl.Series(str(i), column) for i, column in enumerate(columns))

    def around(self, graph: onnx.ModelProto, output: str) -> onnx.ModelProto:
        """Add the same steps before and after the graph of the fitted pipeline."""
        past, inner = self.past, "change_of_" + output
        for each in graph.graph.node:
            for names in (each.input, each.output):
                for i, name in enumerate(names):
                    names[i] = {"numbers": "changed", output: inner}.get(name, name)
        mask = np.zeros((1, self.width), bool)
        mask[0, past.lags] = True
        constants = {
            **{f"lag_{i}": np.array([lag]) for i, lag in enumerate([past.base, *past.lags])},
            "usual": np.array([past.usual], np.float32),
            "low": np.array(past.low, np.float32),
            "high": np.array(past.high, np.float32),
            "is_lag": mask,
            "least": np.array(-FARTHEST, np.float32),
            "most": np.array(FARTHEST, np.float32),
        }

        def node(kind: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
            named = ["past_" + one if one in constants else one for one in inputs.split()]
            return helper.make_node(kind, named, [output], **attributes)

        last = len(past.lags)
        before = [
            node("Gather", f"numbers lag_{i}", f"past_read_{i}", axis=1) for i in range(last + 1)
        ]
        before.append(node("Identity", "usual", f"past_known_{last + 1}"))
        for i in range(last, -1, -1):  # the first known one, and the usual value if none is
            before += [
                node("IsNaN", f"past_read_{i}", f"past_absent_{i}"),
                node(
                    "Where", f"past_absent_{i} past_known_{i + 1} past_read_{i}", f"past_known_{i}"
                ),
            ]
        if past.ratio:
            before += [
                node("Clip", "past_known_0 low high", "past_level"),
                node("IsNaN", "numbers", "past_missing"),
                node("Clip", "numbers low high", "past_bounded"),
                node("Div", "past_bounded past_level", "past_share"),
                node("Where", "past_missing numbers past_share", "past_change"),
            ]
            after = [
                node("Clip", f"{inner} least most", "past_clipped"),
                node("Exp", "past_clipped", "past_grown"),
                node("Mul", "past_level past_grown", output),
            ]
        else:
            before += [
                node("Identity", "past_known_0", "past_level"),
                node("Sub", "numbers past_level", "past_change"),
            ]
            after = [node("Add", f"past_level {inner}", output)]
        before.append(node("Where", "is_lag past_change numbers", "changed"))
        nodes = [*before, *graph.graph.node, *after]
        del graph.graph.node[:]
        graph.graph.node.extend(nodes)
        used = {name for each in nodes for name in each.input}
        graph.graph.initializer.extend(
            numpy_helper.from_array(value, "past_" + name)
            for name, value in constants.items()
            if "past_" + name in used
        )
        if not any(entry.name == "numbers" for entry in graph.graph.input):
            shape = [None, self.width]
            graph.graph.input.append(
                helper.make_tensor_value_info("numbers", TensorProto.FLOAT, shape)
            )
        weights = set_aside(graph)
        onnx.checker.check_model(graph)
        put_back(graph, weights)
        return graph
