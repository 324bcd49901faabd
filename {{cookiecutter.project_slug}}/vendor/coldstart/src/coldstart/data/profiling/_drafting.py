"""`make data`: brings a source in, studies the table, writes the draft, and says what matters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from coldstart.config._settings import CONFIG, Settings
from coldstart.contract._contract import Contract
from coldstart.data.profiling._column_profile import ColumnProfile
from coldstart.data.profiling._draft import kept_entries, put_aside, write_config, write_contract
from coldstart.data.profiling._report import REPORT, write_report
from coldstart.data.profiling._table_profile import TableProfile, study
from coldstart.data.profiling._target import find_target, listed
from coldstart.data.reading._read import read
from coldstart.data.sources._importing import bring
from coldstart.errors import UserError

SHOWN = 6


def draft(
    settings: Settings,
    source: str | None,
    target: str | None,
    query: str | None = None,
    licence: str | None = None,
    fresh: bool = False,
) -> None:
    """Bring a source in and draft the contract for it.

    Raises
    ------
    UserError
        If there is no target, or nothing can be learned from the table.
    """
    data = settings.data
    if source:
        table = bring(source, licence=licence, query=query)
        joins = data.joins if same_collection(table, data.table) else []
        data = data.model_copy(update={"table": table, "joins": joins})
    raw = read(data)
    names = raw.frame.collect_schema().names()
    same = same_collection(data.table, settings.data.table)
    with contextlib.suppress(UserError):  # a contract that cannot be read is drafted anew
        before = Contract.load(settings.contract).target
        if same and not target and before in names:
            target = before
        elif same and target and target != before:
            print(f"{settings.contract} was for {before}: for another target all is drafted anew")
    if not target:
        raise UserError(
            f"which column is to be predicted? Run it again with TARGET=..., one of "
            f"{listed(names)} ({data.table} is here already)"
        )
    target = find_target(target, names)
    kept = kept_entries(settings.contract, target, names) if same and not fresh else {}
    found = study(raw, target)
    respect(found, kept)

    aside = put_aside([settings.contract, CONFIG])
    write_contract(found, settings.contract, kept, settings.project.package)
    Contract.load(settings.contract)  # a draft that cannot be read is a bug: better told here
    write_config(data.table, other_table=not same)
    write_report(found)
    tell(found, settings, kept, [str(path) for path in aside])


def same_collection(one: Path | str, other: Path | str) -> bool:
    """Whether two tables are arrivals of one source: data/raw/<collection>/..."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return one == other or (len(one.parts) > 3 and one.parts[:3] == other.parts[:3])


def respect(found: TableProfile, kept: Mapping[str, Any]) -> None:
    """Leave to the person what the contract says already."""
    if not kept:
        return
    for name in [n for n, one in found.looks.items() if "lag_of" in one.settings and n not in kept]:
        del found.looks[name]
    decided = {str(one.get("role")) for one in kept.values()}
    for name, look in found.looks.items():
        if name in kept:
            look.settings = {**look.settings, "role": "feature", **kept[name]}
        elif look.role in ("time", "group", "series") and decided & {"time", "group"}:
            look.settings["role"] = "feature"
            look.settings.pop("calendar", None)
    for leak in list(found.findings.leaks):
        if leak.column in kept and found.looks[leak.column].role == "feature":
            found.findings.leaks.remove(leak)
            leak.why += " Kept, as schema.yaml says."
            found.findings.doubts.append(leak)


def tell(
    found: TableProfile, settings: Settings, kept: Mapping[str, Any], aside: list[str]
) -> None:
    """Print a screenful."""
    for line in found.reading[:SHOWN]:
        print(line)
    aim = found.looks[found.target]
    findings = found.findings
    print(f"\n{found.rows:,} rows, {len(found.looks)} columns; target {aim.name}: {kind(aim)}")
    if found.missing_target:
        print(f"  {found.missing_target:,} rows have no {aim.name}: kept out of training")
    if found.copies:
        print(f"  {found.copies:,} rows are exact copies of another: never on two sides of a split")
    if findings.leaks:
        print(f"\nLeft out as leaks (score that each alone would have faked, {findings.metric}):")
        show(f"{leak.column} ({leak.score:.3f}): {leak.why}" for leak in findings.leaks)
        print("  to use one all the same: role: feature in schema.yaml")
    leaking = {leak.column for leak in findings.leaks}
    others = [one for one in found.with_role("id", "ignore") if one.name not in leaking]
    if others:
        print("\nNo features:")
        show(f"{one.name}: {one.settings.get('reason', '')}" for one in others)
    print(f"\nSplit {found.split}.")
    doubts = [f"{leak.column} ({leak.score:.3f}): {leak.why}" for leak in findings.doubts]
    doubts += [f"{one.name}: {doubt}" for one in found.looks.values() for doubt in one.doubts]
    doubts += found.doubts
    if doubts:
        print("\nLook at:")
        show(doubts)
    best = sorted(findings.alone.items(), key=lambda one: -one[1])
    best = [one for one in best if one[0] not in leaking][:3]
    if best:
        told = ", ".join(f"{name} {score:.3f}" for name, score in best)
        print(f"\nAlone tell most ({findings.metric}): {told}; together {findings.together:.3f}")
    if kept:
        print(f"\n{len(kept)} columns stay as they were in {settings.contract} (FRESH=1: anew)")
    if aside:
        print(f"what was there before: {', '.join(aside)}")
    print(
        f"\nNext: read {settings.contract}, look at {REPORT}, then:\n"
        "git add -A && git commit -m 'My data' && make train"
    )


def kind(aim: ColumnProfile) -> str:
    """What is predicted, in words."""
    settings = aim.settings
    if settings["type"] == "number":
        return "a number" + (", forecast" if "season" in settings else "")
    if settings["type"] == "boolean":
        return "true or false"
    return f"one of {len(settings['categories'])} labels"


def show(lines: Iterable[str]) -> None:
    """Print the first lines, and how many more there are."""
    every = list(lines)
    for line in every[:SHOWN]:
        print(f"  {line if len(line) <= 200 else line[:197] + '...'}")
    if len(every) > SHOWN:
        print(f"  ... and {len(every) - SHOWN} more: {REPORT}")
