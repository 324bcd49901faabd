"""Sharing: whether git keeps an imported table, so that a clone can train and test."""

from __future__ import annotations

import sys
from pathlib import Path

from coldstart._writing import write_whole
from coldstart.data.sources._import_log import RAW

IGNORE = Path(".gitignore")
LIMIT = 5_000_000  # bytes; larger tables make a repository slow to clone
KEPT, LEFT_OUT = "!/{}/", "# not shared: /{}/"


def ask_to_share(table: Path | str, personal: list[str], share: bool | None) -> None:
    """Let git keep a small table if it may be shared. The question is asked once.

    Parameters
    ----------
    table : Path or str
        The table of config.yaml.
    personal : list of str
        Names of columns that identify a person. A table that has some is not kept.
    share : bool or None
        The answer. By default it is asked for in a terminal.
    """
    path = Path(str(table))
    if len(path.parts) < 4 or not path.is_relative_to(RAW) or not IGNORE.is_file():
        return  # not an import, or not in a repository
    collection = Path(*path.parts[:3])
    lines = IGNORE.read_text(encoding="utf-8").splitlines()
    kept, left_out = (line.format(collection.as_posix()) for line in (KEPT, LEFT_OUT))
    if share is None and (kept in lines or left_out in lines):
        return
    size = sum(file.stat().st_size for file in collection.rglob("*") if file.is_file())
    if personal:
        if share:
            print(f"{collection} is not kept by git: {personal[0]} identifies people")
        return
    if size > LIMIT and not share:
        return
    what = f"{collection} ({size / 1e6:.1f} MB)"
    if share is None:
        if not sys.stdin.isatty():
            print(f"git ignores {what}; if it may be shared: make data SHARE=yes")
            return
        question = f"May {what} be shared? Then git keeps it, and a clone can train. [y/N] "
        share = input(question).strip().lower() in ("y", "yes")
    lines = [line for line in lines if line not in (kept, left_out)]
    write_whole(IGNORE, "\n".join([*lines, kept if share else left_out]) + "\n")
    print(f"{IGNORE}: {'git keeps' if share else 'git ignores'} {what}")
