"""Recording: what the API answers to the cases, and to each change of one input."""

from __future__ import annotations

import json
from typing import Any

import pydantic_core
from pydantic import TypeAdapter

from coldstart.bundle._predictor import BundlePredictor
from coldstart.serve._schemas import row_type
from coldstart.serve.page._bundle_files import about
from coldstart.serve.page._explanations import Explainer

STEPS = 16  # values that are tried of an input, at most; for a table of many columns fewer
FEWEST = 4
MOST = 20_000  # numbers that are kept: about 150 kB


def record(predictor: BundlePredictor) -> dict[str, Any]:
    """Ask for everything that the page will be able to answer.

    Returns
    -------
    dict
        `about`, what the page is made of, with the controls that have answers; `rows`, from which
        one input at a time is changed; for each of them the `answers`: its own, and for each
        input those for other values of it, as `shortened`; `references`, by the place of the
        class, and the number of rows that took an input's place, `moved`.
    """
    explainer = Explainer(predictor)
    names = list(predictor.contract.features)
    told = pydantic_core.to_jsonable_python(about(predictor, explainer.rows), inf_nan_mode="null")
    rows = [case["row"] for case in told["cases"]] or [told["example"]]
    rows = [{name: row.get(name) for name in names} for row in rows]
    told["example"] = rows[0]

    typed = TypeAdapter(row_type(predictor.contract))
    references: dict[int, Any] = {}

    def ask(row: dict[str, Any]) -> dict[str, Any]:
        answer = explainer.explain(typed.validate_json(json.dumps(row)))
        if "reference" in answer:
            among = {name: one for name, one in answer["reference"].items() if name != "below"}
            references[place(answer, told["classes"])] = among
        return answer

    own = [ask(row) for row in rows]
    width = len(names) + 5
    steps = min(STEPS, max(FEWEST, MOST // (len(rows) * len(names) * width)))
    moving = {name: max(abs(by(one, name)) for one in own) for name in names}
    strongest = sorted(names, key=lambda name: -moving[name])
    changed = set(strongest[: max(1, MOST // (len(rows) * steps * width))])
    seen = pydantic_core.to_jsonable_python(explainer.rows)
    values = {}
    for column in told["columns"]:
        name = column["name"]
        private = predictor.contract.features[name].personal
        known = [] if private else [row[name] for row in seen if row.get(name) is not None]
        values[name] = narrow(column, known, [row[name] for row in rows], steps)
    return {
        "about": told,
        "rows": rows,
        "answers": [
            {
                "own": shortened(answer, told["classes"], names),
                "changed": {
                    name: [
                        [value, shortened(ask({**row, name: value}), told["classes"], names)]
                        for value in values[name]
                        if value != row[name]
                    ]
                    for name in names
                    if name in changed
                },
            }
            for row, answer in zip(rows, own, strict=True)
        ],
        "references": references,
        "moved": own[0]["moved"]["rows"] if "moved" in own[0] else 0,
    }


def narrow(column: dict[str, Any], seen: list[Any], own: list[Any], steps: int) -> list[Any]:
    """Let a control offer what is recorded, and nothing else; return those values.

    Parameters
    ----------
    seen
        Values of the reference.
    own
        Those of the rows that are changed.
    """
    own = [value for value in dict.fromkeys(own) if value is not None]
    if column["kind"] == "boolean":
        offered = [False, True]
    elif column["kind"] == "number":
        offered = column["stops"] = sorted({*spread(column.get("stops", []), steps), *own})
    elif column["kind"] == "choice":
        offered = list(dict.fromkeys([*column["choices"][:steps], *own]))
    else:  # days and texts: what was written somewhere is chosen
        offered = sorted({*spread(sorted(set(seen)), steps), *own})
        column["kind"] = "choice"
    if column["kind"] == "choice":
        column |= {"choices": offered, "free": False}
    return [None, *offered] if column["nullable"] else offered


def spread(values: list[Any], count: int) -> list[Any]:
    """So many of the values, evenly, the first and the last among them."""
    if len(values) <= count:
        return values
    return [values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)]


def place(answer: dict[str, Any], classes: list[str]) -> int:
    """Place of the class that an explanation is about."""
    return classes.index(answer["subject"]) if classes else 0


def by(answer: dict[str, Any], name: str) -> float:
    """How much an input moved an answer."""
    return float(answer["moved"]["by"][name]) if "moved" in answer else 0.0


def shortened(answer: dict[str, Any], classes: list[str], names: list[str]) -> list[Any]:
    """An explanation without names.

    Returns
    -------
    list
        Probabilities of the classes, or the value; the places of the answered class and of the
        one that is explained; the share of the reference that is below; and how much each input
        moved it, or nothing if the bundle has no reference.
    """
    said, moved = answer["prediction"], "moved" in answer
    kept = list(said["probabilities"].values()) if classes else [said["value"]]
    return [
        [brief(value, classes) for value in kept],
        classes.index(said["label"]) if classes else 0,
        place(answer, classes),
        round(answer["reference"]["below"], 4) if moved else 0,
        [brief(by(answer, name), classes) for name in names] if moved else [],
    ]


def brief(number: float, classes: list[str]) -> float:
    """A number in as many digits as the page shows of it, and one or two more."""
    short = round(number, 6) if classes else float(f"{number:.6g}")
    return int(short) if short.is_integer() else short
