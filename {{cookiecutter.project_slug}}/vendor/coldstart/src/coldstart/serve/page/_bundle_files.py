"""The content of a bundle on the page: its columns, examples, card and plots."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

import numpy as np

from coldstart.bundle._bundle import CARD, EXAMPLES, confirmed_score
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract.columns import BaseColumn
from coldstart.serve._schemas import Row
from coldstart.serve.page._render import parser, render

STOPS = 101  # of a slider
SUGGESTED = 200  # categories of a column that lists none


def read_file(predictor: BundlePredictor, name: str) -> bytes | None:
    """Return a file of the bundle; None if it is missing or was changed."""
    checksum = predictor.manifest.files.get(name)
    try:
        content = (predictor.folder / name).read_bytes() if checksum else b""
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == checksum else None


def plots(predictor: BundlePredictor) -> list[str]:
    """Return the names of the plots."""
    return [name for name in predictor.manifest.files if name.endswith(".png")]


def card(predictor: BundlePredictor) -> str:
    """Return the model card as HTML, its headings a level lower than the page's title."""
    text = (read_file(predictor, CARD) or b"This bundle has no model card.").decode()
    markdown = parser()
    tokens = markdown.parse(text)
    for token in tokens:
        if token.type.startswith("heading"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
    return render(markdown, tokens)


def about(predictor: BundlePredictor, rows: list[Row], title: str) -> dict[str, Any]:
    """Return the data that the page displays.

    Parameters
    ----------
    predictor : BundlePredictor
        The model.
    rows : list of dict
        The bundle's reference rows.
    title : str
        Title of the page.

    Returns
    -------
    dict
        Values for JSON; see `page.js`.
    """
    contract, manifest = predictor.contract, predictor.manifest
    target = contract.columns[contract.target]
    private = any(column.personal for column in contract.features.values())
    examples = json.loads(read_file(predictor, EXAMPLES) or b"[]")
    return {
        "title": title,
        "fingerprint": predictor.fingerprint,
        "version": predictor.number,
        "family": manifest.family,
        "target": contract.target,
        "description": target.description,
        "unit": target.control().get("unit", ""),
        "labels": labels(target),
        "classes": manifest.classes,
        "threshold": manifest.threshold,
        "conformal": manifest.conformal and manifest.conformal.model_dump(),
        "metrics": {name: manifest.metrics.get(name) for name in ("primary", "test", "interval")},
        "confirmed": confirmed_score(manifest.metrics),
        "columns": [
            {
                "name": name,
                "description": column.description,
                "nullable": column.nullable or name in contract.lags,
                "labels": labels(column),
                **column.control(),
                **({} if column.personal else seen(column.control(), [r.get(name) for r in rows])),
            }
            for name, column in contract.features.items()
        ],
        # The row with the fewest missing values; not of a table with personal columns.
        "example": max(rows, key=known) if rows and not private else contract.example(),
        "examples": [] if private else examples,
        "plots": plots(predictor),
    }


def labels(column: BaseColumn) -> dict[str, str]:
    """Return the labels of a column's values that the page shows, if the contract has some."""
    found: dict[str, str] = getattr(column, "labels", {})
    return found


def known(row: Row) -> int:
    """Return the number of values of a row that are not missing."""
    return sum(value is not None for value in row.values())


def seen(control: dict[str, Any], values: list[Any]) -> dict[str, Any]:
    """Return what the reference rows' values add to a control.

    Parameters
    ----------
    control : dict
        The control, as the column describes it.
    values : list
        The values, None where missing.

    Returns
    -------
    dict
        `stops` of a number's slider: quantiles, so that each step goes as far as values usually
        do; or `choices`, the most frequent first, where the contract lists none.
    """
    there = [value for value in values if value is not None]
    if control["kind"] == "choice" and not control["choices"]:
        return {"choices": [value for value, _ in Counter(there).most_common(SUGGESTED)]}
    if control["kind"] == "number" and there:
        ends = [end for end in (control["minimum"], control["maximum"]) if end is not None]
        shares = np.linspace(0, 1, STOPS)
        middle = np.quantile(np.array(there), shares, method="nearest").tolist()
        whole = all(value == int(value) for value in middle)
        legible = middle if whole else [float(f"{value:.5g}") for value in middle]
        low, high = min([*middle, *ends]), max([*middle, *ends])
        return {"stops": sorted({low, high, *(one for one in legible if low < one < high)})}
    return {}
