"""The data card, `data/README.md`, generated from the import log."""

from __future__ import annotations

from pathlib import Path

from coldstart._writing import write_whole
from coldstart.data.sources._import_log import ImportRecord

CARD = Path("data/README.md")
BEGIN, END = "<!-- make collect writes from here -->", "<!-- to here -->"


def write_data_card(entries: list[ImportRecord]) -> None:
    """Write the part between the markers, and leave the rest of the file as it is."""
    text = CARD.read_text(encoding="utf-8") if CARD.exists() else "# The data\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):  # without both markers the whole file is the user's
        before, after = text.rstrip("\n") + "\n\n", "\n"
    write_whole(CARD, before + BEGIN + "\n\n" + "\n".join(card_lines(entries)) + "\n" + END + after)


def card_lines(entries: list[ImportRecord]) -> list[str]:
    """Describe each collection: source, license, command, and its imports."""
    collections: dict[str, list[ImportRecord]] = {}
    for entry in entries:
        collections.setdefault(entry.collection, []).append(entry)
    lines = ["`make collect` imports all of this again.", ""]
    for name, members in collections.items():
        newest = members[-1]
        place = "FOLDER/" * newest.local + newest.source
        lines += [f"## {name}", "", f"- source: `{newest.source}`"]
        lines += [f"- query: `{' '.join(newest.query.split())}`"] if newest.query else []
        lines += [
            f"- license: {newest.license or 'not stated'}",
            f"- import again: `make collect SOURCE='{place}'`",
            f"- each import {'adds to' if newest.append else 'replaces'} those before",
            "",
            "| imported (UTC) | files | new | bytes | SHA-256 | folder |",
            "|---|---:|---:|---:|---|---|",
            *(table_row(entry) for entry in reversed(members)),
            "",
        ]
    return lines


def table_row(entry: ImportRecord) -> str:
    """Format one line of the table."""
    cells = (
        f"{entry.time:%Y-%m-%d %H:%M:%S}",
        str(len(entry.content)),
        str(entry.new),
        f"{entry.size:,}",
        f"`{entry.sha256}`",
        f"`{entry.folder}`",
    )
    return f"| {' | '.join(cells)} |"
