"""The data section of a model card: source, split, excluded columns.

References
----------
Gebru et al., "Datasheets for Datasets", 2021.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coldstart._markdown import code, percent, table
from coldstart.bundle._bundle import Manifest
from coldstart.contract.columns import BaseColumn
from coldstart.data._dataset import Dataset
from coldstart.train._summary import number

PAGES = ("data/raw/README.md", "data/README.md")


def data(dataset: Dataset, manifest: Manifest) -> list[str]:
    """Describe the source of the rows, their split, and the features."""
    contract, chosen = dataset.contract, manifest.provenance["settings"]["data"]
    files = [chosen["table"], *(join["file"] for join in chosen["joins"])]
    pages = " and ".join(f"`{page}`" for page in PAGES if Path(page).is_file())
    about = f" Description: {pages}." if pages else ""
    time, group = contract.names("time"), contract.names("group")
    rows = f"{len(dataset.table):,} rows"
    if group:
        rows += f" ({dataset.table[group[0]].n_unique():,} groups of {code(group[0])})"
    lines = [f"{rows} from {', '.join(map(code, files))}.{about}", ""]
    if time:
        how = f"by {code(time[0])}: later rows evaluate what was fitted on earlier ones"
    elif group:
        how = f"at random, with all rows of one {code(group[0])} on the same side"
    else:
        how = "at random, with copies of a row on the same side"
    if len(dataset.splits) > 1:
        lines.append(
            f"They are few, so cross-validation splits them {len(dataset.splits)} times ({how}). "
            "In each split, a model is fitted without the rows that evaluate it. Scores are means "
            "of the repetitions. The final model is fitted on all rows."
        )
    else:
        lines += [
            f"They are split {how}. The model was chosen on the validation rows, fitted on "
            "training and validation rows, and evaluated on the test rows.",
            "",
            *parts(dataset),
        ]
    features = ", ".join(map(code, contract.features))
    return [*lines, "", f"{len(contract.features)} features: {features}."]


def parts(dataset: Dataset) -> list[str]:
    """Return the single split as a table."""
    time, classes = dataset.contract.names("time"), dataset.classes
    group = dataset.contract.names("group")
    rows = []
    for name, part in dataset.splits[0].parts().items():
        row = [name, f"{len(part):,}"]
        if group:
            row.append(f"{dataset.table[group[0]][part].n_unique():,}")
        if time:
            days = dataset.table[time[0]][part].dt.date()
            row += [str(days.min()), str(days.max())]
        if len(classes) == 2:
            row.append(percent(float(np.mean(dataset.target(part) == 1))))
        elif not classes:
            row.append(number(float(np.mean(dataset.target(part)))))
        rows.append(row)
    last = {0: ["mean of the target"], 2: [code(classes[1])] if classes else []}
    by = ["from", "to"] if time else ["groups"] if group else []
    heads = ["part", "rows", *by, *last.get(len(classes), [])]
    return table(heads, rows)


def left_out(dataset: Dataset) -> list[str]:
    """List the columns that are not features, and why."""
    return [
        f"- {code(name)} ({column.role}): {why(column)}"
        for name, column in dataset.contract.columns.items()
        if column.role != "target" and not column.is_feature
    ]


def why(column: BaseColumn) -> str:
    """Return why a column is not a feature."""
    if column.available in ("with", "after") and not column.reason:
        return f"available {column.available} the target, not at prediction time"
    return column.reason or column.description or "no reason given"
