"""The review: what is close or doubtful about columns, as answered at a terminal or by options."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from coldstart._writing import write_whole
from coldstart.contract._contract import Contract
from coldstart.data.profiling._choices import example
from coldstart.data.profiling._draft import parse_entries, scalar
from coldstart.data.profiling._profiles import Choice, ColumnProfile, TableProfile
from coldstart.data.profiling._target import find_column
from coldstart.errors import UserError

EXAMPLES, WIDTH = 3, 20


def review(found: TableProfile, path: Path) -> None:
    """List the doubtful columns, and ask about each at a terminal.

    Parameters
    ----------
    found : TableProfile
        The findings.
    path : Path
        The schema, which gets the answers.
    """
    doubts = found.findings.doubts
    if not doubts:
        return
    metric, score = found.findings.metric, found.findings.together
    print(
        f"\nKnown when you ask? The score of all columns together ({metric} {score:.3f}) counts "
        f"on {'it' if len(doubts) == 1 else 'them'}:"
    )
    asked = at_terminal()
    answers = {}
    for name, why in doubts.items():
        print(f"  {name}{examples(found.profiles[name])}: {why}")
        if asked:
            known = ask("Is it known when you ask? [y]es, [n]o, Enter: decide later")
            if known is not None:
                answers[name] = "before" if known else "after"
    if answers:
        set_availability(path, answers)
    if left := [name for name in doubts if name not in answers]:
        print(
            f"  {'it stays' if len(left) == 1 else 'they stay'} unconfirmed, and make train "
            "prints the score without; to answer:\n"
            f"  make data KNOWN={listed(left)} (or AFTER=..., what is known only afterwards)"
        )


def at_terminal() -> bool:
    """Return whether someone can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask_reading(profile: ColumnProfile, choice: Choice) -> bool | None:
    """Ask whether a column is read rightly. None if that is decided later."""
    spelled, value, other = example(profile, choice)
    print(f"\n{profile.name}: {spelled!r} is read as {value}, {choice.why}")
    return ask(f"Is it {value}? [y]es, [n]o: it is {other}, Enter: decide later")


def ask(question: str) -> bool | None:
    """Ask for yes or no. Any other answer leaves it open."""
    answer = input(f"  {question} ").strip().lower()
    return {"y": True, "yes": True, "n": False, "no": False}.get(answer)


def examples(profile: ColumnProfile) -> str:
    """Return some values of a column that identifies nobody, in parentheses."""
    if profile.personal:
        return ""
    values = profile.raw.drop_nulls().unique(maintain_order=True).head(EXAMPLES).to_list()
    return f" ({', '.join(value[:WIDTH] for value in values)})"


def listed(names: Iterable[str]) -> str:
    """Return names as the value of an option, quoted if a shell would divide it."""
    text = ",".join(names)
    return text if re.fullmatch(r"[\w.,:-]+", text) else f'"{text}"'


def parse_names(text: str | None, columns: list[str]) -> list[str]:
    """Return the columns that an option names, separated by commas.

    Raises
    ------
    UserError
        If there is no such column.
    """
    if not text:
        return []
    if text in columns:  # its name has a comma
        return [text]
    return [find_column(name.strip(), columns) for name in text.split(",") if name.strip()]


def set_availability(path: Path, answers: Mapping[str, str]) -> None:
    """Write into the schema when columns are available, and leave all else as it is.

    Parameters
    ----------
    path : Path
        The schema.
    answers : mapping of str to str
        From a column's name to its setting `available`.

    Raises
    ------
    UserError
        If the schema is not valid with it; it stays as it was.
    """
    text = before = path.read_text(encoding="utf-8")
    entries = parse_entries(text)
    for name, when in answers.items():
        old = entries[name]
        new = re.sub(r"^    available:.*\n", "", old, flags=re.M)
        new, found = re.subn(r"^    type:.*\n", rf"\g<0>    available: {when}\n", new, flags=re.M)
        if not found:  # the entry is written on one line
            settings = yaml.safe_load(textwrap.dedent(old))[name] | {"available": when}
            lines = [f"    {key}: {scalar(value)}\n" for key, value in settings.items()]
            new = "".join([f"  {scalar(name)}:\n", *lines])
        text = text.replace(old, new, 1)
    write_whole(path, text)
    try:
        Contract.load(path)
    except UserError:
        write_whole(path, before)
        raise
    print(f"{path}: " + ", ".join(f"{name} is available {when}" for name, when in answers.items()))
