"""Drafts: schema.yaml with a reason beside each decision, and config.yaml."""

from __future__ import annotations

import io
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from coldstart._writing import write_whole
from coldstart._yaml import read_yaml
from coldstart.config._settings import CONFIG
from coldstart.data.profiling._profiles import ColumnProfile, TableProfile
from coldstart.data.sources._import_log import RAW
from coldstart.errors import UserError

ORDER = [
    "type", "role", "available", "reason", "personal", "unit", "format", "calendar", "decimal",
    "thousands", "affixes", "multipliers", "true_values", "false_values", "categories", "unseen",
    "missing_values", "nullable", "minimum", "maximum", "lag_of", "steps", "season", "horizon",
    "description", "labels", "example",
]  # fmt: skip
HEAD = """\
# The data contract: what each column of the table is. Everything that needs to know about a
# column reads it here. Drafted from {rows:,} rows by `make data`; from here on it is yours:
# correct what is wrong and run `make train`. `make data` again keeps the columns that are
# here, and drafts only new ones (FRESH=1 drafts all anew).
#
# role         feature (the default), target, time, group, series, id or ignore
# available    before the target (at prediction time), with it, after it, or unconfirmed
# description  what the column is, for people: the page, the API's documentation and the model
#              card show it. So do unit (kg) and labels (a text for each class). Fill them in.
# All types and settings: vendor/coldstart/src/coldstart/contract/columns/

columns:
"""


def scalar(value: Any) -> str:
    """Write a value as YAML on one line, quoted wherever it could be misread."""
    written = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True)
    written = written.removesuffix("\n").removesuffix("\n...")
    if "\n" in written or (isinstance(value, str) and not value.isprintable()):
        return json.dumps(value)
    return written


def format_entry(profile: ColumnProfile) -> str:
    """Format one column of the schema, with the reasons as comments."""
    lines = [f"  {scalar(profile.name)}:"]
    for note in [*profile.notes, *(f"CHECK: {warning}" for warning in profile.warnings)]:
        if note:
            lines += comment_lines(note[0].upper() + note[1:])
    settings = to_fill_in(profile) | profile.settings
    for key in ORDER:
        if key not in settings or (key == "role" and settings[key] == "feature"):
            continue
        value = settings[key]
        if key == "multipliers":
            value = {ending: int(by) if by == int(by) else by for ending, by in value.items()}
        if key == "reason" and len(value) > 80:
            lines += ["    reason: >-"]
            lines += [f"      {line}" for line in textwrap.wrap(" ".join(value.split()), 88)]
        elif key == "labels":
            lines += [
                "    labels:",
                *(f"      {scalar(one)}: {scalar(value[one])}" for one in value),
            ]
        else:
            lines.append(f"    {key}: {scalar(value)}")
    return "\n".join(lines) + "\n"


def to_fill_in(profile: ColumnProfile) -> dict[str, Any]:
    """Return the settings for people, empty: of the target, and of what a request holds."""
    target = profile.role == "target"
    if not (target or profile.role in ("feature", "series") or profile.settings.get("calendar")):
        return {}
    empty: dict[str, Any] = {"description": ""}
    if profile.type == "number":
        empty["unit"] = ""
    if target and profile.type == "boolean":
        empty["labels"] = {"false": "", "true": ""}
    if target and profile.type == "category":
        empty["labels"] = dict.fromkeys(profile.settings.get("categories", []), "")
    return empty


def comment_lines(text: str) -> list[str]:
    """Format a remark as comment lines."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return [f"    # {line}" for line in textwrap.wrap(plain, 88, break_long_words=False)]


def parse_entries(text: str) -> dict[str, str]:
    """Return the entries of a schema by column, as they are written, with comments."""
    _, _, body = text.partition("\ncolumns:")
    found: dict[str, str] = {}
    for block in re.split(
        r"\n(?=  [^\s#])", body.partition("\n")[2] and "\n" + body.partition("\n")[2]
    ):
        if not block.strip():
            continue
        try:
            content = yaml.safe_load(textwrap.dedent(block.strip("\n")))
        except yaml.YAMLError:
            continue
        if isinstance(content, dict) and len(content) == 1:
            found[str(next(iter(content)))] = block.strip("\n") + "\n"
    return found


def kept_entries(path: Path, target: str, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the settings that a schema has for the columns of a table with the same target."""
    try:
        columns = read_yaml(path)["columns"]
        if columns[target].get("role") != "target":
            return {}
        derived = {name for name, one in columns.items() if "lag_of" in one}
        return {n: columns[n] for n in [*columns] if n in set(names) or n in derived}
    except (OSError, UserError, KeyError, TypeError, AttributeError):
        return {}


def write_contract(found: TableProfile, path: Path, kept: Mapping[str, Any], package: str) -> None:
    """Write the schema. Entries that are kept stay as they are written."""
    before = parse_entries(path.read_text(encoding="utf-8")) if kept else {}
    parts = []
    for name, profile in found.profiles.items():
        if name in kept:
            own = yaml.safe_dump({name: kept[name]}, sort_keys=False, allow_unicode=True)
            parts.append(before.get(name) or textwrap.indent(own, "  "))
        else:
            parts.append(format_entry(profile))
    parts += [before[n] for n in kept if n not in found.profiles and n in before]
    write_whole(path, HEAD.format(rows=found.rows, package=package) + "\n".join(parts))


def write_config(table: Path | str, target: str, other_table: bool, other_target: bool) -> None:
    """Point config.yaml to the table, and remove the settings that were made for another.

    A new table or target gets an experiment and a registered model of its own, so that its models
    are not compared with those of other data.
    """
    from ruamel.yaml import YAML

    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 10**9
    config = editor.load(CONFIG.read_text(encoding="utf-8"))
    config["data"]["table"] = table if isinstance(table, str) else table.as_posix()
    if other_table or other_target:
        for key in ("leak_threshold", "tuned", "metric", "decision"):
            config.pop(key, None)
        name = experiment_name(table, target)
        if "experiment" in config:
            config["experiment"] = name
        else:
            note = "in MLflow: its runs, and the registered model"
            config.insert(1, "experiment", name, comment=note)
        print(f"MLflow experiment: {name}")
    if other_table:
        config["data"].pop("joins", None)
        config.pop("models", None)
        for key in ("train_until", "validate_until", "test_until"):
            if isinstance(config.get("split"), dict):
                config["split"].pop(key, None)
        if "split" in config and not config["split"]:
            config.pop("split")
    text = io.StringIO()
    editor.dump(config, text)
    write_whole(CONFIG, text.getvalue())


def experiment_name(table: Path | str, target: str) -> str:
    """Return a name for the experiment: that of the data, and the target."""
    path = Path(str(table))
    collected = len(path.parts) > 3 and path.is_relative_to(RAW)
    data = path.parts[2] if collected else path.name.partition(".")[0]
    return re.sub(r"[^\w.-]+", "-", f"{data}-{target}").strip("-")
