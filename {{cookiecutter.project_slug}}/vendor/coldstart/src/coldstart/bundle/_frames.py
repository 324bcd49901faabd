"""A bundle as an MLflow model: predictions for a pandas data frame of typed rows.

`tracking` logs a bundle so that `mlflow.pyfunc.load_model` finds `load_pyfunc` here. Nothing of it
is a pickle.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import TypeAdapter, ValidationError

from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract._contract import Contract
from coldstart.contract._derived import register_derived
from coldstart.contract.columns import Date
from coldstart.errors import UserError

DERIVED = "derived_columns"  # in the metadata of an MLflow model: where the functions are


class FramePredictor:
    """A loaded bundle, which predicts the rows of pandas data frames.

    Parameters
    ----------
    folder : Path
        The bundle.
    """

    def __init__(self, folder: Path) -> None:
        self._predictor = BundlePredictor(folder)
        self._types = column_types(self._predictor.contract)

    def predict(self, frame: Any) -> Any:
        """Predict the rows of a frame.

        Parameters
        ----------
        frame : pandas.DataFrame
            n rows with typed values: NaN, NaT or None where one is missing, dates as text or as
            dates. Columns that are not features are ignored. Of those that may be missing, each
            may be left out.

        Returns
        -------
        pandas.DataFrame
            n rows with the same index: `label` and `probability CLASS` of each class, and `set`, a
            list in JSON, if the model has prediction sets; or for regression `value`, and `low` and
            `high` if the model has prediction intervals.

        Raises
        ------
        MlflowException
            If a needed column or all columns are missing, or the API would refuse a value. Of
            another exception MLflow's own server does not say the reason.
        """
        import pandas as pd  # type: ignore[import-untyped]  # MLflow brings it
        from mlflow.exceptions import MlflowException

        try:
            prediction = self._predict(frame)
        except UserError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        predictor = self._predictor
        classes, conformal = predictor.manifest.classes, predictor.manifest.conformal
        if not classes:
            columns = {"value": prediction[:, 0]}
            if conformal and (ends := conformal.bounds(prediction[:, 0])):
                columns["low"], columns["high"] = ends
            return pd.DataFrame(columns, index=frame.index)
        numbers = predictor.labels(prediction)
        labels = np.array(classes, dtype=object)[numbers]
        shares = {f"probability {name}": prediction[:, i] for i, name in enumerate(classes)}
        sets = conformal and conformal.describe_sets(prediction, numbers, classes)
        within = {"set": sets} if sets is not None else {}
        return pd.DataFrame({"label": labels, **shares, **within}, index=frame.index)

    def _predict(self, frame: Any) -> np.ndarray:
        predictor, table, count = self._predictor, {}, len(frame)
        if not any(name in frame for name in self._types):
            raise UserError(f"the rows have none of the columns {', '.join(self._types)}")
        for name, kind in self._types.items():
            column = predictor.contract.features[name]
            values = plain(frame[name]) if name in frame else [None] * count
            if isinstance(column, Date) and not column.has_time:
                values = [day and str(day).removesuffix("T00:00:00") for day in values]
            try:
                table[name] = kind.validate_json(json.dumps(values))
            except ValidationError as error:
                raise UserError(explain(error, name, name in frame)) from None
        if not count:  # of which some graphs make an error
            return np.empty((0, len(predictor.manifest.classes) or 1))
        return predictor.predict(predictor.contract.encode(table)).astype(np.float64)


def column_types(contract: Contract) -> dict[str, TypeAdapter[Any]]:
    """Return how each feature's values are checked: as the API checks those of a request."""
    found = {}
    for name, column in contract.features.items():
        kind: Any = column.request_type()
        optional = column.nullable or name in contract.lags
        whole: Any = list[kind | None] if optional else list[kind]
        found[name] = TypeAdapter(whole)
    return found


def explain(error: ValidationError, name: str, given: bool) -> str:
    """Explain why a column's values are refused, by the first of them."""
    if not given:
        return f"the column {name} is missing, which the model needs"
    first = error.errors()[0]
    row = f", row {first['loc'][0]}" if first["loc"] else ""
    return f"the column {name}{row}: {first['msg']}, not {first['input']!r} (rows count from 0)"


def plain(column: Any) -> list[Any]:
    """Return a pandas column as values of JSON, None where one is missing."""
    values = column.astype(object)
    return [
        value.isoformat() if hasattr(value, "isoformat") else value
        for value in values.where(column.notna(), None).tolist()
    ]


def load_pyfunc(path: str) -> FramePredictor:
    """Load a logged MLflow model.

    Parameters
    ----------
    path : str
        The model's folder, which holds the bundle's files and MLflow's own.

    Returns
    -------
    FramePredictor
        It predicts as the API does.

    Raises
    ------
    UserError
        If the bundle is corrupt, or the derived columns of its training are missing.
    """
    described = yaml.safe_load(Path(path, "MLmodel").read_text(encoding="utf-8"))
    if reference := (described.get("metadata") or {}).get(DERIVED):
        module, _, name = reference.partition(":")
        register_derived(getattr(import_module(module), name))
    return FramePredictor(Path(path))
