"""`make data`: import a source, profile the table, write the drafts, and print what matters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from coldstart._writing import write_whole
from coldstart.config._settings import CONFIG, Settings
from coldstart.contract._contract import Contract, table_folder
from coldstart.data.profiling._draft import kept_entries, write_config, write_contract
from coldstart.data.profiling._previous_data import (
    DEMO,
    back_up,
    is_demo,
    move_demo,
    move_models,
    restore_demo,
)
from coldstart.data.profiling._profiles import ColumnProfile, TableProfile
from coldstart.data.profiling._profiling import profile_table
from coldstart.data.profiling._report import REPORT, write_report
from coldstart.data.profiling._review import (
    ask_reading,
    at_terminal,
    parse_names,
    review,
    set_availability,
)
from coldstart.data.profiling._target import find_column, format_columns
from coldstart.data.reading._read import read
from coldstart.data.sources._import_log import load_entries
from coldstart.data.sources._importing import import_source, remove_imports
from coldstart.data.sources._picture_folders import LABEL, PICTURE
from coldstart.data.sources._sharing import ask_to_share
from coldstart.errors import UserError

SHOWN = 6


def draft(
    settings: Settings,
    source: str | None,
    target: str | None,
    query: str | None = None,
    license: str | None = None,
    fresh: bool = False,
    share: bool | None = None,
    known: str | None = None,
    after: str | None = None,
    horizon: int | None = None,
) -> None:
    """Import a source, and draft schema.yaml for it.

    Parameters
    ----------
    settings : Settings
        The project's settings.
    source : str, optional
        The source. By default the table of config.yaml.
    target : str, optional
        The column to predict. By default that of schema.yaml.
    query : str, optional
        SQL, for a database.
    license : str, optional
        License of the data.
    fresh : bool
        Whether the columns that schema.yaml has are drafted anew.
    share : bool, optional
        Whether git keeps the table. By default the user is asked once.
    known, after : str, optional
        Columns, separated by commas, that are known when a prediction is requested, and columns
        that are known only afterwards. Without a source or target only these are written.
    horizon : int, optional
        Number of steps to forecast.

    Raises
    ------
    UserError
        If there is no target, or it cannot be predicted from the table.
    """
    data, imported = settings.data, load_entries() if source else []
    if (known or after) and not (source or target):
        columns = list(Contract.load(settings.contract).columns)
        set_availability(settings.contract, answers(known, after, columns))
        return
    if source:
        table = import_source(source, license=license, query=query)
        joins = data.joins if is_same_source(table, data.table) else []
        data = data.model_copy(update={"table": table, "joins": joins})
    try:
        raw = read(data)
    except UserError:
        if source:  # what cannot be read is of no use in data/raw
            remove_imports(imported)
        raise
    names = raw.frame.collect_schema().names()
    same = is_same_source(data.table, settings.data.table)
    before = None
    with contextlib.suppress(UserError):  # a schema that cannot be loaded is drafted anew
        before = Contract.load(settings.contract).target
        if same and not target and before in names:
            target = before
        elif same and target and target != before:
            print(f"{settings.contract} predicts {before}: for another target it is drafted anew")
    if not target and source and names == [PICTURE, LABEL]:
        target = LABEL
    if not target:
        raise UserError(
            f"which column should be predicted? Run it again with TARGET=..., one of "
            f"{format_columns(names)} ({data.table} is imported already)"
        )
    wanted, target = target, find_column(target, names)
    if wanted.lstrip("-").isdigit() and target != wanted:
        print(f"TARGET={wanted} is the position of {target}, counted from 0")
    kept = kept_entries(settings.contract, target, names) if same and not fresh else {}
    try:
        decide = ask_reading if at_terminal() else None
        found = profile_table(raw, target, kept, horizon, decide)
    except (pl.exceptions.ComputeError, pl.exceptions.PanicException) as error:  # it was lazy
        raise UserError(f"{data.table} cannot be read: {str(error).splitlines()[0]}") from None
    try:
        check_pictures(found, data.table)
        if found.with_type("image"):
            from coldstart.data.profiling._picture_survey import survey_pictures  # needs Pillow

            survey_pictures(found, table_folder(data.table))
    except UserError:
        if source:
            remove_imports(imported)
        raise
    keep_user_choices(found, kept)
    settled = answers(known, after, list(found.profiles))
    for name, when in settled.items():
        found.profiles[name].settings["available"] = when
        found.findings.doubts.pop(name, None)
    check_horizon(found.profiles[target], kept, horizon)

    other_target = before not in (None, target)
    moved = []
    if is_demo(settings.data) and (other_target or not same):
        moved = move_demo(settings.data, settings.contract, source, with_data=not same)
    elif other_target or not same:
        move_models()
    backups = back_up([settings.contract, CONFIG])
    write_contract(found, settings.contract, kept, settings.project.package)
    Contract.load(settings.contract)  # a draft that cannot be loaded is reported here
    write_config(data.table, target, other_table=not same, other_target=other_target)
    if found.with_type("image"):
        use_extra("images")
    write_report(found)
    print_summary(found, settings, kept, [str(path) for path in backups])
    if kept_answers := {name: when for name, when in settled.items() if name in kept}:
        set_availability(settings.contract, kept_answers)
    review(found, settings.contract)
    ask_to_share(data.table, [one.name for one in found.profiles.values() if one.personal], share)
    if moved:
        print(f"moved to {DEMO}: {', '.join(moved)}; back with: make data DEMO=1")
    print(
        f"\nNext: read {settings.contract}, fill in its descriptions, look at {REPORT}, then:\n"
        "git add -A && git commit -m 'My data' && make train"
    )


def check_pictures(found: TableProfile, table: Path | str) -> None:
    """Refuse paths of pictures that are not beside the table.

    Raises
    ------
    UserError
        If the first of them is missing.
    """
    for profile in found.profiles.values():
        first = profile.raw.drop_nulls()[0] if profile.type == "image" else None
        if first and not (table_folder(table) / first).is_file():
            raise UserError(
                f"{profile.name}: there is no picture {first!r} beside {table}; import the folder "
                "that holds both (SOURCE=FOLDER)"
            )


def use_extra(name: str) -> None:
    """Let serving install what a column type needs, by an extra of the engine."""
    path = Path("pyproject.toml")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if '"coldstart-ml"' in text:
        write_whole(path, text.replace('"coldstart-ml"', f'"coldstart-ml[{name}]"', 1))
        print(f"{path}: coldstart-ml[{name}], for the API")


def answers(known: str | None, after: str | None, columns: list[str]) -> dict[str, str]:
    """Return when columns are available, as options say."""
    early, late = (parse_names(text, columns) for text in (known, after))
    if both := set(early) & set(late):
        raise UserError(f"{min(both)} is in KNOWN and in AFTER: it can be one of them")
    return dict.fromkeys(early, "before") | dict.fromkeys(late, "after")


def check_horizon(
    target_profile: ColumnProfile, kept: Mapping[str, Any], horizon: int | None
) -> None:
    """Refuse a number of steps where there is no forecast, or where it is decided already."""
    if horizon is None:
        return
    name = target_profile.name
    if "season" not in target_profile.settings:
        raise UserError(
            f"HORIZON is the number of steps to forecast, and {name} is not forecast: that takes "
            "one row for each step of time, without gaps"
        )
    if name in kept:
        raise UserError(
            f"schema.yaml has {name} already: add FRESH=1, or set horizon and the steps of lags "
            "there"
        )


def restore(settings: Settings) -> None:
    """Restore the demo's data, and what belongs to it."""
    print(f"restored: {', '.join(restore_demo(settings.contract))}")


def is_same_source(one: Path | str, other: Path | str) -> bool:
    """Return whether two tables are imports of one source: data/raw/COLLECTION/..."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return one == other or (len(one.parts) > 3 and one.parts[:3] == other.parts[:3])


def keep_user_choices(found: TableProfile, kept: Mapping[str, Any]) -> None:
    """Keep what the schema decides already."""
    if not kept:
        return
    for name in [
        n for n, one in found.profiles.items() if "lag_of" in one.settings and n not in kept
    ]:
        del found.profiles[name]
    decided = {str(one.get("role")) for one in kept.values()}
    for name, profile in found.profiles.items():
        if name in kept:
            own = {"role": "feature", **kept[name]}
            profile.settings.pop("available", None)
            profile.settings |= own
            if own.get("available") != "unconfirmed":
                found.findings.doubts.pop(name, None)
            else:
                found.findings.doubts.setdefault(name, "schema.yaml says that it is unconfirmed")
        elif profile.role in ("time", "group", "series") and decided & {"time", "group"}:
            profile.settings["role"] = "feature"
            profile.settings.pop("calendar", None)
    for leak in list(found.findings.leaks):
        if leak.column in kept and found.profiles[leak.column].role == "feature":
            found.findings.leaks.remove(leak)
            leak.why += " Kept, as schema.yaml says."
            found.findings.warnings.append(leak)


def print_summary(
    found: TableProfile, settings: Settings, kept: Mapping[str, Any], backups: list[str]
) -> None:
    """Print one screen of findings."""
    for line in found.reading[:SHOWN]:
        print(line)
    target_profile = found.profiles[found.target]
    findings = found.findings
    print(
        f"\n{found.rows:,} rows, {len(found.profiles)} columns; "
        f"target {target_profile.name}: {describe_target(target_profile)}"
    )
    print_lines(target_profile.notes)
    if found.copies:
        print(
            f"  {found.copies:,} rows are exact copies of another: the split keeps copies together"
        )
    if findings.leaks:
        print(f"\nLeft out as leaks (with the {findings.metric} of each alone):")
        print_lines(f"{leak.column} ({leak.score:.3f}): {leak.why}" for leak in findings.leaks)
        print("  to use one anyway, set role: feature in schema.yaml")
    leaking = {leak.column for leak in findings.leaks}
    others = [one for one in found.with_role("id", "ignore") if one.name not in leaking]
    if others:
        print("\nNot used as features:")
        late = {"after": "Known only after the target.", "with": "Known only with the target."}
        print_lines(
            f"{one.name}: "
            f"{one.settings.get('reason') or late.get(one.settings.get('available', ''), '')}"
            for one in others
        )
    print(f"\nSplit {found.split}.")
    warnings = [
        f"{leak.column} ({leak.score:.3f}): {leak.why}"
        for leak in findings.warnings
        if leak.column not in findings.doubts
    ]
    warnings += [
        f"{one.name}: {warning}" for one in found.profiles.values() for warning in one.warnings
    ]
    warnings += found.warnings
    if warnings:
        print("\nCheck:")
        print_lines(warnings)
    best = sorted(findings.alone.items(), key=lambda one: -one[1])
    best = [one for one in best if one[0] not in leaking][:3]
    if best:
        strongest = ", ".join(f"{name} {score:.3f}" for name, score in best)
        print(
            f"\nStrongest single features ({findings.metric}"
            f"{f', by {findings.group}' * bool(findings.group)}): {strongest}; "
            f"together {findings.together:.3f}"
        )
    if kept:
        print(f"\n{len(kept)} columns of {settings.contract} are kept (FRESH=1 drafts them anew)")
    if backups:
        print(f"copies of the files before: {', '.join(backups)}")


def describe_target(target_profile: ColumnProfile) -> str:
    """Describe what is predicted."""
    settings = target_profile.settings
    if settings["type"] == "number":
        return "a number" + (", forecast" if "season" in settings else "")
    if settings["type"] == "boolean":
        return "true or false"
    return f"one of {len(settings['categories'])} classes"


def print_lines(lines: Iterable[str]) -> None:
    """Print the first lines, and how many more there are."""
    every = list(lines)
    for line in every[:SHOWN]:
        print(f"  {line if len(line) <= 200 else line[:197] + '...'}")
    if len(every) > SHOWN:
        print(f"  ... and {len(every) - SHOWN} more: {REPORT}")
