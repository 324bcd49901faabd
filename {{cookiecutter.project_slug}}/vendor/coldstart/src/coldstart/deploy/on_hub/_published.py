"""What is published of a bundle: the model and what describes it, and rows only if they may be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from coldstart._provenance import git
from coldstart.bundle._bundle import (
    CONTRACT,
    EXAMPLES,
    REFERENCE,
    TESTED,
    VERSION,
    Manifest,
    checksum,
    verify_bundle,
    write_manifest,
)
from coldstart.bundle._predictor import BundlePredictor

ROWS = (REFERENCE, EXAMPLES)
ABOUT = {"type", "role", "reason", "description", "nullable", "personal"}
"""What is published of a column that the model does not use. Its categories may be names."""


def write_published(bundle: Path, folder: Path) -> BundlePredictor:
    """Write a bundle without what is not published, and print what that is.

    Rows of the table are published only if no feature is personal and git keeps the table, which
    `make data SHARE=yes` decides. Of columns that the model does not use, no values are published.
    Predictions of the test rows serve the promotion gate alone.

    Raises
    ------
    UserError
        If there is no bundle, or it is corrupt.
    """
    manifest = verify_bundle(bundle)
    reason = reason_against_rows(BundlePredictor(bundle))
    left_out = {TESTED, *(ROWS if reason else ())}
    published = {name: sha for name, sha in manifest.files.items() if name not in left_out}
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*published, VERSION):
        if (bundle / name).is_file():
            shutil.copy(bundle / name, folder)
    remove_values(folder / CONTRACT)
    published[CONTRACT] = checksum(folder / CONTRACT)
    write_manifest(folder, manifest.model_copy(update={"files": published}))
    if rows := [name for name in ROWS if name in manifest.files and reason]:
        print(f"not published: {' and '.join(rows)}, since {reason}")
    return BundlePredictor(folder)


def remove_values(path: Path) -> None:
    """Remove what a schema says of the values of columns that the model does not use."""
    schema: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    columns: dict[str, dict[str, Any]] = schema["columns"]
    lagged = {one.get("lag_of") for one in columns.values()}
    unused = [
        one
        for name, one in columns.items()
        if one.get("role") in ("id", "group", "weight", "ignore") and name not in lagged
    ]
    if any(one.keys() - ABOUT for one in unused):
        for column in unused:
            for name in column.keys() - ABOUT:
                del column[name]
        path.write_text(yaml.safe_dump(schema, sort_keys=False, allow_unicode=True), "utf-8")


def reason_against_rows(predictor: BundlePredictor) -> str:
    """Return why no rows of the table are published; an empty string if they may be."""
    if personal := personal_features(predictor):
        return f"{personal[0]} is personal"
    if missing := [path for path in tables(predictor.manifest) if not git("ls-files", "--", path)]:
        return f"git does not keep {missing[0]} (make data SHARE=yes)"
    return ""


def personal_features(predictor: BundlePredictor) -> list[str]:
    """Return the names of the features that are personal."""
    return [name for name, column in predictor.contract.features.items() if column.personal]


def tables(manifest: Manifest) -> list[str]:
    """Return the tables that a model was trained on, as config.yaml names them."""
    data = manifest.provenance.get("settings", {}).get("data", {})
    return [str(data.get("table", "the table")), *(one["file"] for one in data.get("joins", []))]
