"""LightGBM and XGBoost: their converters, for model types of a project's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from skl2onnx import update_registered_converter
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from sklearn.base import is_classifier


def register_boosting(*kinds: type) -> None:
    """Register estimators of LightGBM or XGBoost with skl2onnx, through onnxmltools.

    Parameters
    ----------
    *kinds : type
        Such as `LGBMClassifier`, `LGBMRegressor`, `XGBClassifier`, `XGBRegressor`.

    Raises
    ------
    ValueError
        If an estimator is of another library.

    Notes
    -----
    LightGBM compares float64 thresholds with `<=`, a graph float32 ones. A threshold is rounded
    down to float32, so that every float32 value falls on the same side as in LightGBM.
    """
    for kind in kinds:
        library = kind.__module__.partition(".")[0]
        if library not in ("lightgbm", "xgboost"):
            raise ValueError(
                f"{kind.__name__} is an estimator of {library}: expected LightGBM or XGBoost"
            )
        classifies = is_classifier(kind())
        update_registered_converter(
            kind,
            f"{library} {kind.__name__}",
            calculate_linear_classifier_output_shapes
            if classifies
            else calculate_linear_regressor_output_shapes,
            _convert_lightgbm if library == "lightgbm" else _convert_xgboost,
            options={"nocl": [True, False], "zipmap": [True, False, "columns"]}
            if classifies
            else {"split": None},
        )


def _convert_lightgbm(scope: Any, operator: Any, container: Any) -> None:
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import (
        convert_lightgbm,
    )

    convert_lightgbm(scope, operator, _FlooredThresholds(container))


def _convert_xgboost(scope: Any, operator: Any, container: Any) -> None:
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import (
        convert_xgboost,
    )

    convert_xgboost(scope, operator, container)


class _FlooredThresholds:
    """A container of skl2onnx that rounds the thresholds of trees down to float32."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, kind: str, *arguments: Any, **attributes: Any) -> Any:
        """Add a node."""
        if kind.startswith("TreeEnsemble") and "nodes_values" in attributes:
            modes = attributes["nodes_modes"]
            attributes["nodes_values"] = [
                _floor(value) if mode in ("BRANCH_LEQ", b"BRANCH_LEQ") else value
                for value, mode in zip(attributes["nodes_values"], modes, strict=True)
            ]
        return self._container.add_node(kind, *arguments, **attributes)


def _floor(value: float) -> float:
    """Return the largest float32 that is not above a value."""
    nearest = np.float32(value)
    # As Python floats: NumPy would compare in float32.
    return float(nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-np.inf)))
