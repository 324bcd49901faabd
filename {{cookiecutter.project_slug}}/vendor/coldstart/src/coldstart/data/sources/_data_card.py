"""The data card: `data/README.md`, from the record of arrivals."""

from __future__ import annotations

from pathlib import Path

from coldstart.data.sources._imports import Arrival, replace

CARD = Path("data/README.md")
BEGIN, END = "<!-- make collect writes from here -->", "<!-- to here -->"


def write_card(arrivals: list[Arrival]) -> None:
    """Write the part between the marks anew, and leave the rest of the file as it is."""
    text = CARD.read_text(encoding="utf-8") if CARD.exists() else "# The data\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):  # a mark is missing: all of it is the person's
        before, after = text.rstrip("\n") + "\n\n", "\n"
    replace(CARD, before + BEGIN + "\n\n" + "\n".join(lines(arrivals)) + "\n" + END + after)


def lines(arrivals: list[Arrival]) -> list[str]:
    """Where, when, how much, under which licence, and how to get it again."""
    collections: dict[str, list[Arrival]] = {}
    for arrival in arrivals:
        collections.setdefault(arrival.collection, []).append(arrival)
    told = ["`make collect` brings all of this in again.", ""]
    for name, members in collections.items():
        newest = members[-1]
        told += [f"## {name}", "", f"- source: `{newest.source}`"]
        told += [f"- query: `{' '.join(newest.query.split())}`"] if newest.query else []
        told += [
            f"- licence: {newest.licence or 'not stated'}",
            f"- again: `make collect SOURCE='{newest.source}'`",
            f"- each arrival {'adds to' if newest.append else 'takes the place of'} those before",
            "",
            "| arrived (UTC) | files | new | bytes | SHA-256 | in |",
            "|---|---:|---:|---:|---|---|",
            *(row(arrival) for arrival in reversed(members)),
            "",
        ]
    return told


def row(arrival: Arrival) -> str:
    """One line of the table."""
    cells = (
        f"{arrival.time:%Y-%m-%d %H:%M:%S}",
        str(len(arrival.content)),
        str(arrival.new),
        f"{arrival.size:,}",
        f"`{arrival.sha256}`",
        f"`{arrival.folder}`",
    )
    return f"| {' | '.join(cells)} |"
