"""What the page shows of a bundle: its columns, cases, card and plots."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

import numpy as np

from coldstart.bundle._bundle import CARD, CASES
from coldstart.bundle._predictor import BundlePredictor
from coldstart.serve._schemas import Row
from coldstart.serve.page._render import parser, render

STOPS = 101  # of a slider
SUGGESTED = 200  # categories of a column that lists none


def kept(predictor: BundlePredictor, name: str) -> bytes | None:
    """A file as the bundle was sealed with it; None if it has none, or it is another one's now."""
    sealed = predictor.manifest.files.get(name)
    try:
        content = (predictor.folder / name).read_bytes() if sealed else b""
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == sealed else None


def plots(predictor: BundlePredictor) -> list[str]:
    """Names of the plots."""
    return [name for name in predictor.manifest.files if name.endswith(".png")]


def card(predictor: BundlePredictor) -> str:
    """The model card as HTML; a page has a title of its own, so headings are a level lower."""
    written = (kept(predictor, CARD) or b"This bundle has no model card.").decode()
    markdown = parser()
    tokens = markdown.parse(written)
    for token in tokens:
        if token.type.startswith("heading"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
    return render(markdown, tokens)


def about(predictor: BundlePredictor, rows: list[Row]) -> dict[str, Any]:
    """Tell all that the page is made of.

    Parameters
    ----------
    rows
        The bundle's reference.
    """
    contract, manifest = predictor.contract, predictor.manifest
    target = contract.columns[contract.target]
    private = any(column.personal for column in contract.features.values())
    cases = json.loads(kept(predictor, CASES) or b"[]")
    return {
        "seal": predictor.seal,
        "version": predictor.number,
        "family": manifest.family,
        "target": contract.target,
        "description": target.description,
        "unit": target.control().get("unit", ""),
        "classes": manifest.classes,
        "threshold": manifest.threshold,
        "metrics": {name: manifest.metrics.get(name) for name in ("primary", "test", "interval")},
        "columns": [
            {
                "name": name,
                "description": column.description,
                "nullable": column.nullable or name in contract.lags,
                **column.control(),
                **({} if column.personal else seen(column.control(), [r.get(name) for r in rows])),
            }
            for name, column in contract.features.items()
        ],
        # The row in which most is known; not of a table that tells who somebody is.
        "example": max(rows, key=known) if rows and not private else contract.example(),
        "cases": [] if private else cases,
        "plots": plots(predictor),
    }


def known(row: Row) -> int:
    """How many values a row has."""
    return sum(value is not None for value in row.values())


def seen(control: dict[str, Any], values: list[Any]) -> dict[str, Any]:
    """What the reference's values add to a control.

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
