"""What a browser needs to predict any input with the model itself: see live.js."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic_core

from coldstart.bundle._bundle import MODEL
from coldstart.bundle._external import external_files
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract.columns import MISSING, Boolean, Category, Date, Image, Number, Text
from coldstart.contract.columns._base import BLANKS
from coldstart.portfolio._tracing import trace
from coldstart.serve.page._bundle_files import about
from coldstart.serve.page._explanations import MAX_ROWS, ROWS, Explainer

LARGEST = 25_000_000  # bytes of a graph that a page should load


def obstacle(predictor: BundlePredictor) -> str | None:
    """Return why a browser cannot run the model, or None if it can."""
    contract = predictor.contract
    numbers = contract.encoded_names["numbers"]
    for name, function in contract.derived.items():
        if trace(function, numbers) is None:
            return f"the derived column {name} is more than arithmetic, which needs Python"
    for name, column in contract.features.items():
        if isinstance(column, Image):
            return f"{name} is a picture, which a browser would decode to other pixels"
        if type(column) not in (Boolean, Category, Date, Number, Text):
            return f"{name} is of a type of your own, which needs Python"
    files = {MODEL} | external_files(predictor.folder / MODEL)
    size = sum((predictor.folder / name).stat().st_size for name in files)
    if size > LARGEST:
        return f"its graph has {size / 1e6:.0f} MB, and {LARGEST / 1e6:.0f} are the most"
    return None


def describe_live(predictor: BundlePredictor, title: str) -> dict[str, Any]:
    """Describe how the model's inputs are encoded and its output is explained.

    Parameters
    ----------
    predictor : BundlePredictor
        A model without an `obstacle`.
    title : str
        Of the page.

    Returns
    -------
    dict
        `about`, what the page is made of; `features`, the encoding of each; `derived`, their
        expressions; `decision`, how a class is chosen; `references`, for each class the
        predictions of the reference rows; and `others`, for each feature encoded values of
        reference rows. These are sorted for each feature by itself, so that they contain no row.
    """
    contract, explainer = predictor.contract, Explainer(predictor)
    numbers = contract.encoded_names["numbers"]
    count = min(ROWS, max(1, MAX_ROWS // len(explainer.slices)), len(explainer.rows))
    private = any(column.personal for column in contract.features.values())
    others = {}
    for name, part in [] if private else explainer.slices.items():
        matrix = getattr(explainer.encoded, contract.features[name].matrix)
        others[name] = sorted(matrix[:count, part].tolist(), key=str)
    content = {
        "about": about(predictor, explainer.rows, title),
        "features": [
            {
                "name": name,
                "type": column.type,
                "matrix": column.matrix,
                "nullable": column.nullable or name in contract.lags,
                "missing": sorted(column.missing),
                "sentinels": getattr(column, "sentinels", []),
                "minimum": getattr(column, "minimum", None),
                "maximum": getattr(column, "maximum", None),
                "categories": column.categories
                if isinstance(column, Category) and column.unseen == "refuse"
                else [],
                "time": isinstance(column, Date) and column.has_time,
                "elapsed": column.role != "time",
                "columns": column.encoded_names(name),
            }
            for name, column in contract.features.items()
        ],
        "derived": {name: trace(one, numbers) for name, one in contract.derived.items()},
        "decision": {
            "threshold": predictor.manifest.threshold,
            "weights": predictor.manifest.weights,
        },
        "references": reference(explainer) if explainer.rows else [],
        "others": others,
        "blanks": BLANKS,
        "missing": MISSING,
    }
    plain: dict[str, Any] = pydantic_core.to_jsonable_python(content, inf_nan_mode="null")
    return plain


def reference(explainer: Explainer) -> list[dict[str, Any]]:
    """Return the reference rows' predictions for each class: their histogram, and all, sorted."""
    return [
        {
            "among": explainer.among(at, 0.0),
            "sorted": np.sort(explainer.predictions[:, at]).tolist(),
        }
        for at in range(explainer.predictions.shape[1])
    ]
