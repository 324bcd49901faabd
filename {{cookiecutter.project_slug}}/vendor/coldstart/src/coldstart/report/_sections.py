"""Sections of README.md beside the results: the data, and an example request."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from coldstart._markdown import code, percent
from coldstart.bundle._bundle import Manifest
from coldstart.contract._contract import Contract
from coldstart.data._dataset import Dataset
from coldstart.train._summary import number

MAX_FIELDS = 20  # of the example request, besides those that a request needs
WIDTH = 88  # of a line of the example request, in characters
MAX_CLASSES = 5  # whose shares are listed
DATA_PAGES = (Path("data/raw/README.md"), Path("data/README.md"))


def data_section(dataset: Dataset, champion: Manifest) -> str:
    """Describe the rows, the target, the split and the columns that are left out, in a paragraph.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    champion : Manifest
        Of the champion's bundle.

    Returns
    -------
    str
        Markdown.
    """
    contract, source = dataset.contract, champion.provenance["settings"]["data"]
    files = [
        Path(file).name for file in (source["table"], *(one["file"] for one in source["joins"]))
    ]
    target = contract.columns[contract.target]
    about = " ".join(target.description.split())
    about += "." * (bool(about) and about[-1] not in ".!?")
    sentences = [
        f"{len(dataset.table):,} rows from {listed(files)} with {len(contract.features)} features.",
        f"The target is {code(contract.target)} ({distribution(dataset)}). {about}".rstrip(),
        split_sentence(dataset),
    ]
    reasons = [
        f"{code(name)} ({' '.join(column.reason.split()).rstrip('.')})"
        for name, column in contract.columns.items()
        if column.reason and not column.is_feature
    ]
    if reasons:
        sentences.append(f"Left out: {'; '.join(reasons)}.")
    if pages := [
        f"[{page}]({page})" for page in map(Path.as_posix, DATA_PAGES) if Path(page).is_file()
    ]:
        sentences.append(f"Source: {' and '.join(pages)}.")
    return " ".join(sentences)


def distribution(dataset: Dataset) -> str:
    """Return the shares of the classes, or mean and range of a number."""
    if not dataset.classes:
        values = dataset.targets
        low, high = number(float(values.min())), number(float(values.max()))
        return f"mean {number(float(values.mean()))}, from {low} to {high}"
    counts = np.bincount(dataset.targets[dataset.targets >= 0], minlength=len(dataset.classes))
    shares = sorted(zip(counts / counts.sum(), dataset.classes, strict=True), reverse=True)
    if len(shares) == 2:
        shares = shares[1:]
    shown = [f"{percent(share)} {code(name)}" for share, name in shares[:MAX_CLASSES]]
    more = f" and {len(shares) - MAX_CLASSES} more" if len(shares) > MAX_CLASSES else ""
    return f"{', '.join(shown)}{more}"


def split_sentence(dataset: Dataset) -> str:
    """Return how the rows are split."""
    contract = dataset.contract
    time, group = contract.names("time"), contract.names("group")
    how = f"by {code(time[0])}" if time else f"by {code(group[0])}" if group else "at random"
    if len(dataset.splits) > 1:
        return f"The rows are split {how}, {len(dataset.splits)} times."
    parts = [
        f"{len(rows):,} {name.replace('_', '-')}"
        for name, rows in dataset.splits[0].parts().items()
    ]
    return f"The rows are split {how}: {', '.join(parts)}."


def listed(files: list[str]) -> str:
    """Return file names as part of a sentence."""
    named = [code(file) for file in files]
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))


def example_section(contract: Contract) -> str:
    """Show a request of the API, with the fields that it needs and some that it may have.

    Parameters
    ----------
    contract : Contract
        The data contract.

    Returns
    -------
    str
        Markdown.
    """
    example, columns = contract.example(), contract.features
    needed = [name for name in columns if not columns[name].nullable or name in contract.lags]
    chosen = {*needed, *[name for name in columns if name not in needed][:MAX_FIELDS]}
    row = {name: value for name, value in example.items() if name in chosen and value is not None}
    fields = [json.dumps({name: value}, ensure_ascii=False)[1:-1] for name, value in row.items()]
    lines = ['{"rows": [{']
    for field in fields:
        if len(lines[-1]) + len(field) > WIDTH:
            lines.append("")
        lines[-1] += f"{field}, "
    body = "\n         ".join(line.rstrip() for line in lines).removesuffix(",") + "}]}"
    body = body.replace("'", r"'\''")
    kind = "the class, with the probability of each" if contract.classifies else "a number"
    return "\n".join(
        [
            f"While it serves, this request predicts {code(contract.target)}: {kind}.",
            "",
            "```sh",
            "curl -s http://127.0.0.1:8000/predict -H 'Content-Type: application/json' \\",
            f"     -d '{body}'",
            "```",
        ]
    )
