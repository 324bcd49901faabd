"""The picture: the way of the data in Mermaid, which GitHub draws, with this project's numbers."""

from __future__ import annotations

from pathlib import Path

from coldstart.bundle._bundle import MODEL, Manifest
from coldstart.data._dataset import Dataset

Stages = dict[str, list[str]]
"""What is said of each stage, by its name: its modules first."""


def stages(dataset: Dataset, champion: Manifest, version: str, families: list[str]) -> Stages:
    """The way from the raw files to an answer.

    Parameters
    ----------
    families
        Those that were trained on this data.
    """
    contract, data = dataset.contract, champion.provenance["settings"]["data"]
    joined = len(data["joins"])
    source = Path(data["table"]).name + (f", {joined} joined" if joined else "")
    columns, features = len(contract.columns), len(contract.features)
    time, group = contract.names("time"), contract.names("group")
    how = f"by {time[0]}" if time else f"by {group[0]}" if group else "at random"
    if len(dataset.splits) > 1:
        parts = [f"{len(dataset.splits)} times, each row judged"]
    else:
        parts = [f"{len(rows):,} {name}" for name, rows in dataset.splits[0].parts().items()]
    return {
        "reading": ["reading, validation", source, f"{len(dataset.table):,} rows",
                    f"schema.yaml: {columns} columns"],
        "splitting": ["splitting", how, *parts],
        "models": ["features, models", f"{features} features", *families],
        "bundle": ["export, bundle", f"{MODEL}: one graph", "contract, metrics, card"],
        "registry": ["registry", "champion:", f"{champion.family}, version {version}"],
        "serving": ["serving", "POST /predict", f"answers {contract.target}"],
    }  # fmt: skip


def picture(nodes: Stages) -> str:
    """The stages in Mermaid."""
    drawn = [f'    {name}["{"<br/>".join(map(plain, lines))}"]' for name, lines in nodes.items()]
    return "\n".join(["```mermaid", "flowchart LR", *drawn, f"    {' --> '.join(nodes)}", "```"])


def plain(text: str) -> str:
    """A text that means nothing to Mermaid."""
    return "".join("'" if sign in '"`<>#;{}' else sign for sign in text)
