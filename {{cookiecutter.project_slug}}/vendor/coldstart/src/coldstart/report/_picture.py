"""The picture: the pipeline in Mermaid, which GitHub draws, with this project's numbers."""

from __future__ import annotations

from pathlib import Path

from coldstart.bundle._bundle import MODEL, Manifest
from coldstart.data._dataset import Dataset

Stages = dict[str, list[str]]
"""Lines of text for each stage of the pipeline, its title first."""


def stages(dataset: Dataset, champion: Manifest, version: str, families: list[str]) -> Stages:
    """Return the stages from the raw files to a prediction.

    Parameters
    ----------
    dataset : Dataset
        The prepared rows.
    champion : Manifest
        Of the champion's bundle.
    version : str
        Of the champion.
    families : list of str
        The model types that were trained on this data.
    """
    contract, data = dataset.contract, champion.provenance["settings"]["data"]
    joined = len(data["joins"])
    source = Path(data["table"]).name + (f", {joined} joined" if joined else "")
    columns, features = len(contract.columns), len(contract.features)
    time, group = contract.names("time"), contract.names("group")
    how = f"by {time[0]}" if time else f"by {group[0]}" if group else "at random"
    if len(dataset.splits) > 1:
        parts = [f"{len(dataset.splits)} splits"]
    else:
        parts = [
            f"{len(rows):,} {name.replace('_', '-')}"
            for name, rows in dataset.splits[0].parts().items()
        ]
    return {
        "read": ["read, validate", source, f"{len(dataset.table):,} rows",
                 f"schema.yaml: {columns} columns"],
        "split": ["split", how, *parts],
        "fit": ["fit, evaluate", f"{features} features", *families],
        "export": ["export", f"{MODEL}: one graph", "schema, metrics, card"],
        "register": ["register", "champion:", f"{champion.family}, version {version}"],
        "serve": ["serve", "POST /predict", f"predicts {contract.target}"],
    }  # fmt: skip


def picture(nodes: Stages) -> str:
    """Return the stages in Mermaid."""
    drawn = [f'    {name}["{"<br/>".join(map(plain, lines))}"]' for name, lines in nodes.items()]
    return "\n".join(["```mermaid", "flowchart LR", *drawn, f"    {' --> '.join(nodes)}", "```"])


def plain(text: str) -> str:
    """Return a text without signs that Mermaid interprets."""
    return "".join("'" if sign in '"`<>#;{}' else sign for sign in text)
