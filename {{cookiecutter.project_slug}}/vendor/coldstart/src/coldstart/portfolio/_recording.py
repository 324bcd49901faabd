"""Recording: the explanations of the examples, and of each change of one feature."""

from __future__ import annotations

import json
from typing import Any

import pydantic_core
from pydantic import TypeAdapter

from coldstart.bundle._predictor import BundlePredictor
from coldstart.serve._schemas import row_type
from coldstart.serve.page._bundle_files import about
from coldstart.serve.page._explanations import Explainer

STEPS = 16  # values of a feature, at most; for a table of many columns fewer
MIN_STEPS = 4
MAX_NUMBERS = 20_000  # that are kept: about 150 kB


def record(predictor: BundlePredictor, title: str) -> dict[str, Any]:
    """Explain all rows that the page can show.

    Parameters
    ----------
    predictor : BundlePredictor
        The model.
    title : str
        Of the page.

    Returns
    -------
    dict
        `about`, what the page is made of, with the controls narrowed to recorded values; `rows`,
        of which one feature at a time can be changed; for each of them its `explanations`: its
        `own`, and for each feature those of the `changed` row by value, as `shortened`;
        `references`, by the place of the class; and `reference_rows`, the number of rows whose
        values replaced a feature's.
    """
    explainer = Explainer(predictor)
    names = list(predictor.contract.features)
    content = about(predictor, explainer.rows, title)
    content = pydantic_core.to_jsonable_python(content, inf_nan_mode="null")
    classes = content["classes"]
    rows = [one["row"] for one in content["examples"]] or [content["example"]]
    rows = [{name: row.get(name) for name in names} for row in rows]
    content["example"] = rows[0]

    typed = TypeAdapter(row_type(predictor.contract))
    references: dict[int, Any] = {}

    def explain(row: dict[str, Any]) -> dict[str, Any]:
        explanation = explainer.explain(typed.validate_json(json.dumps(row)))
        if "reference" in explanation:
            among = {key: one for key, one in explanation["reference"].items() if key != "below"}
            references[place(explanation, classes)] = among
        return explanation

    own = [explain(row) for row in rows]
    width = len(names) + 5
    steps = min(STEPS, max(MIN_STEPS, MAX_NUMBERS // (len(rows) * len(names) * width)))
    effects = {name: max(abs(contribution(one, name)) for one in own) for name in names}
    strongest = sorted(names, key=lambda name: -effects[name])
    changed = set(strongest[: max(1, MAX_NUMBERS // (len(rows) * steps * width))])
    seen = pydantic_core.to_jsonable_python(explainer.rows)
    values = {}
    for column in content["columns"]:
        name = column["name"]
        private = predictor.contract.features[name].personal
        known = [] if private else [row[name] for row in seen if row.get(name) is not None]
        values[name] = narrow(column, known, [row[name] for row in rows], steps)
    return {
        "about": content,
        "rows": rows,
        "explanations": [
            {
                "own": shortened(explanation, classes, names),
                "changed": {
                    name: [
                        [value, shortened(explain({**row, name: value}), classes, names)]
                        for value in values[name]
                        if value != row[name]
                    ]
                    for name in names
                    if name in changed
                },
            }
            for row, explanation in zip(rows, own, strict=True)
        ],
        "references": references,
        "reference_rows": own[0]["contributions"]["rows"] if "contributions" in own[0] else 0,
    }


def narrow(column: dict[str, Any], seen: list[Any], own: list[Any], steps: int) -> list[Any]:
    """Let a control offer what is recorded, and no other value; return those values.

    Parameters
    ----------
    column : dict
        The control, which is changed.
    seen : list
        Values of the reference rows.
    own : list
        Those of the rows that are changed.
    steps : int
        How many values it may have besides these.
    """
    own = [value for value in dict.fromkeys(own) if value is not None]
    if column["kind"] == "boolean":
        offered = [False, True]
    elif column["kind"] == "number":
        offered = column["stops"] = sorted({*spread(column.get("stops", []), steps), *own})
    elif column["kind"] == "choice":
        offered = list(dict.fromkeys([*column["choices"][:steps], *own]))
    else:  # dates and texts: a value that some row has is chosen
        offered = sorted({*spread(sorted(set(seen)), steps), *own})
        column["kind"] = "choice"
    if column["kind"] == "choice":
        column |= {"choices": offered, "free": False}
    return [None, *offered] if column["nullable"] else offered


def spread(values: list[Any], count: int) -> list[Any]:
    """Return so many of the values, evenly spread, the first and the last among them."""
    if len(values) <= count:
        return values
    return [values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)]


def place(explanation: dict[str, Any], classes: list[str]) -> int:
    """Return the place of the class that is explained."""
    return classes.index(explanation["subject"]) if classes else 0


def contribution(explanation: dict[str, Any], name: str) -> float:
    """Return how much a feature contributes to a prediction."""
    if "contributions" not in explanation:
        return 0.0
    return float(explanation["contributions"]["by_feature"][name])


def shortened(explanation: dict[str, Any], classes: list[str], names: list[str]) -> list[Any]:
    """Return an explanation without names.

    Returns
    -------
    list
        Probabilities of the classes, or the value; the places of the predicted class and of the
        one that is explained; the share of the reference rows that is below; and the contribution
        of each feature, or none if the bundle has no reference rows.
    """
    prediction, has_reference = explanation["prediction"], "contributions" in explanation
    values = list(prediction["probabilities"].values()) if classes else [prediction["value"]]
    return [
        [rounded(value, classes) for value in values],
        classes.index(prediction["label"]) if classes else 0,
        place(explanation, classes),
        round(explanation["reference"]["below"], 4) if has_reference else 0,
        [rounded(contribution(explanation, name), classes) for name in names]
        if has_reference
        else [],
    ]


def rounded(number: float, classes: list[str]) -> float:
    """Return a number with as many digits as the page shows of it, and one or two more."""
    short = round(number, 6) if classes else float(f"{number:.6g}")
    return int(short) if short.is_integer() else short
