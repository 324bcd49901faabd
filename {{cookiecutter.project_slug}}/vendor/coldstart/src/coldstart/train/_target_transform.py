"""Quantities: a regressor that is fitted to a target of another scale, and its converter."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from onnx import TensorProto
from skl2onnx import get_model_alias, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import BaseEstimator, RegressorMixin, clone


class ScaledTarget(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Fit a regressor to the standardised target; answer in the target's own unit.

    For models whose penalty or margin has the target's unit, and for prices and the
    like, of which a model tells the logarithm more easily.

    Parameters
    ----------
    log
        Whether the logarithm of the target is what the regressor is fitted to. The
        answers are then kept within a deviation of those seen, since an exponential
        goes far, and scaled to have the mean of the target (Snowdon, "A ratio estimator
        for bias correction in logarithmic regressions", 1991).
    """

    def __init__(self, regressor: Any, log: bool = False) -> None:
        self.regressor = regressor
        self.log = log

    def fit(self, X: Any, y: np.ndarray) -> Self:
        """Fit on the target or its logarithm, less its mean, in standard deviations."""
        values = np.log(y) if self.log else y
        self.mean_, self.deviation_ = float(np.mean(values)), float(np.std(values)) or 1.0
        scaled = (values - self.mean_) / self.deviation_
        self.low_, self.high_ = float(scaled.min()) - 1, float(scaled.max()) + 1
        self.regressor_, self.factor_ = clone(self.regressor).fit(X, scaled), 1.0
        if self.log:
            self.factor_ = float(np.mean(y) / np.mean(self.predict(X)))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return values of shape (n,)."""
        scaled: np.ndarray = self.regressor_.predict(X)
        if not self.log:
            return scaled * self.deviation_ + self.mean_
        within = np.clip(scaled, self.low_, self.high_)
        values: np.ndarray = np.exp(within * self.deviation_ + self.mean_) * self.factor_
        return values


def _scaled_target_shape(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = FloatTensorType([rows, 1])


def _scaled_target_to_onnx(scope: Any, operator: Any, container: Any) -> None:
    step: ScaledTarget = operator.raw_operator
    inner = scope.declare_local_operator(get_model_alias(type(step.regressor_)), step.regressor_)
    inner.inputs.append(operator.inputs[0])
    scaled = scope.declare_local_variable("scaled", FloatTensorType())
    inner.outputs.append(scaled)
    steps: list[tuple[str, float | None]] = [("Mul", step.deviation_), ("Add", step.mean_)]
    if step.log:
        steps = [("Max", step.low_), ("Min", step.high_), *steps, ("Exp", None)]
        steps.append(("Mul", step.factor_))
    last = scaled.onnx_name
    for number, (kind, value) in enumerate(steps, 1):
        inputs = [last]
        if value is not None:
            inputs.append(str(scope.get_unique_variable_name("constant")))
            container.add_initializer(inputs[1], TensorProto.FLOAT, [1], [value])
        last = str(scope.get_unique_variable_name(kind.lower()))
        if number == len(steps):
            last = operator.outputs[0].full_name
        container.add_node(kind, inputs, last, name=scope.get_unique_operator_name(kind))


update_registered_converter(
    ScaledTarget, "ScaledTarget", _scaled_target_shape, _scaled_target_to_onnx
)
