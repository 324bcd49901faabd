"""A regressor that is fitted to a transformed numeric target, and its converter."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from onnx import TensorProto
from skl2onnx import get_model_alias, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import BaseEstimator, RegressorMixin, clone

from coldstart.train._weighted_fit import fit_weighted


class ScaledTarget(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor fitted to the standardized target, which predicts in the target's unit.

    It is for models whose penalty or margin has the target's unit, and for prices and other targets
    whose logarithm is easier to predict.

    Parameters
    ----------
    regressor : estimator
        The scikit-learn regressor to fit.
    log : bool, default=False
        Whether the regressor is fitted to the logarithm of the target, which must be positive. The
        predicted logarithm is then limited to one standard deviation beyond its training range, and
        the predictions are scaled to the mean of the training targets.

    References
    ----------
    Snowdon, "A ratio estimator for bias correction in logarithmic regressions", 1991.
    """

    def __init__(self, regressor: Any, log: bool = False) -> None:
        self.regressor = regressor
        self.log = log

    def fit(self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Self:
        """Fit the regressor to the standardized target, or to its standardized logarithm.

        Parameters
        ----------
        X : array-like of shape (n, columns)
            Features.
        y : ndarray of shape (n,)
            Values in the target's unit.
        sample_weight : array of shape (n,), optional
            Weight of each row.

        Returns
        -------
        ScaledTarget
            The same object.
        """
        values = np.log(y) if self.log else y
        self.mean_, self.deviation_ = float(np.mean(values)), float(np.std(values)) or 1.0
        scaled = (values - self.mean_) / self.deviation_
        self.low_, self.high_ = float(scaled.min()) - 1, float(scaled.max()) + 1
        self.regressor_ = fit_weighted(clone(self.regressor), X, scaled, sample_weight)
        self.factor_ = 1.0
        if self.log:
            predicted = np.average(self.predict(X), weights=sample_weight)
            self.factor_ = float(np.average(y, weights=sample_weight) / predicted)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict values in the target's unit.

        Parameters
        ----------
        X : array-like of shape (n, columns)
            Features.

        Returns
        -------
        ndarray of shape (n,)
            The values.
        """
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
