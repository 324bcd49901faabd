"""The bundle: one folder that holds a model and everything that serving it needs.

    model.onnx      the fitted preprocessing and the model in one graph
    model.onnx.data its weights, if the graph would be larger than 2 GB
    schema.yaml     the contract
    bundle.json     classes, threshold, metrics, provenance, and the files' checksums
    reference.csv   some of the rows that the model was fitted on, with its prediction
    tested.csv      predictions of the test rows by models that were not fitted on them
    examples.json   three of the test rows: a correct, an incorrect and an uncertain prediction
    MODEL_CARD.md   the same for people
    *.png           plots of the test rows

There is no pickle in it, so loading a model runs no code of its author's.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from coldstart.bundle._conformal import Conformal
from coldstart.bundle._external import external_files
from coldstart.errors import UserError

MODEL, CONTRACT, MANIFEST = "model.onnx", "schema.yaml", "bundle.json"
REFERENCE, TESTED, CARD = "reference.csv", "tested.csv", "MODEL_CARD.md"
EXAMPLES = "examples.json"
VERSION = "version.json"
NAMED = 5  # columns
REGISTERED = TypeAdapter(dict[str, str])


class Manifest(BaseModel):
    """The content of bundle.json.

    Parameters
    ----------
    family : str
        Name of the model type.
    target : str
        Name of the target.
    members : dict of str to float, default={}
        Of an ensemble the model types, and the weight of each.
    calibration : dict of str to float, default={}
        `slope`, and for two classes `intercept`, of the sigmoid that corrects the probabilities.
        Empty if they are as the model predicts them.
    classes : list of str, default=[]
        Names of the classes, in the order of the prediction's columns; empty for regression.
    derived : list of str, default=[]
        Names of the derived columns that the graph takes after the contract's numbers.
    threshold : float, optional
        Probability of the second of two classes from which it is predicted.
    weights : list of float, optional
        Weights of more than two classes, in their order. The class whose probability times its
        weight is largest is predicted.
    decision : str, default="maximizes F1"
        What the threshold or the weights do on the validation rows, as a clause.
    conformal : Conformal, optional
        For a numeric target the prediction intervals, for more than two classes the prediction
        sets. None for two classes, and in bundles of earlier versions: predictions then come alone.
    metrics : dict, default={}
        Metrics on the test set: `test` of the model, `baseline` of the dummy baseline, `column` of
        the best single feature, `naive` of the seasonal naive forecast, `interval` of the primary
        metric; `units`, how many groups or blocks of time that is of; `prevalence`, the share of
        the second of two classes; `unweighted`, where rows have weights, test metrics without them;
        `confirmed`, those without columns that nobody has confirmed as available at prediction
        time, if there are some; `horizon`, the errors of each step of a forecast; `coverage`, the
        share of test outcomes in their prediction interval or set; and `parity`, the largest
        difference between graph and pipeline.
    provenance : dict, default={}
        Where the model comes from: run, git commit, data, settings and library versions.
    files : dict of str to str, default={}
        SHA-256 of each other file, hexadecimal, by the file's name.
    """

    model_config = ConfigDict(extra="forbid")

    family: str
    target: str
    members: dict[str, float] = {}
    calibration: dict[str, float] = {}
    classes: list[str] = []
    derived: list[str] = []
    threshold: float | None = None
    weights: list[float] | None = None
    decision: str = "maximizes F1"
    conformal: Conformal | None = None
    metrics: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    files: dict[str, str] = {}

    @property
    def horizon(self) -> int:
        """Number of steps after the forecast origin that were evaluated; at least 1."""
        return max(1, len(self.metrics.get("horizon", [])))


def confirmed_score(metrics: Mapping[str, Any], show: Callable[[str], str] = str) -> str:
    """Return the score without columns that nobody has confirmed as available, as a clause.

    Parameters
    ----------
    metrics : mapping
        Metrics of a manifest.
    show : callable, optional
        Writes the name of a column.

    Returns
    -------
    str
        Empty if all features are confirmed.
    """
    if not (found := metrics.get("confirmed")):
        return ""
    primary, names = metrics["primary"], found["without"]
    some = ", ".join(map(show, names[:NAMED])) + f" and {len(names) - NAMED} more" * (
        len(names) > NAMED
    )
    return (
        f"without {some}, {primary} is {found['test'][primary]:.3f}: nobody has confirmed that "
        f"{'it is' if len(names) == 1 else 'they are'} available at prediction time"
    )


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path, manifest: Manifest) -> None:
    """Write the manifest with the checksums of the files in the folder.

    Parameters
    ----------
    folder : Path
        The bundle.
    manifest : Manifest
        Its manifest, whose checksums are replaced in the written copy.
    """
    files = {
        path.name: checksum(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != MANIFEST
    }
    write_manifest(folder, manifest.model_copy(update={"files": files}))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest as it is."""
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def verify_bundle(folder: Path) -> Manifest:
    """Check that a bundle is whole and unchanged.

    Parameters
    ----------
    folder : Path
        The bundle.

    Returns
    -------
    Manifest
        Its manifest.

    Raises
    ------
    UserError
        If the folder is not a bundle, a file is missing or was changed, or the graph reads a file
        that is not among them.
    """
    if not (folder / MANIFEST).is_file():  # a pipe would be waited for
        raise UserError(
            f"{folder} is not a bundle: it has no {MANIFEST}; run: make pull (or make train)"
        )
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except ValidationError:
        raise UserError(f"{folder / MANIFEST} is corrupt; run: make pull") from None
    for name in {MODEL, CONTRACT, *manifest.files}:
        path = folder / name
        if path.name != name:
            raise UserError(f"{folder / MANIFEST} lists {name!r}, which is not a name of a file")
        if not path.is_file():
            raise UserError(f"{folder} is corrupt: {name} is missing; run: make pull")
        if checksum(path) != manifest.files.get(name):
            raise UserError(f"{folder} is corrupt: {name} was changed; run: make pull")
    try:
        unlisted = external_files(folder / MODEL) - manifest.files.keys()
    except ValueError as error:
        raise UserError(f"{folder / MODEL} is not a graph: {error}; run: make train") from None
    if unlisted:
        name = min(unlisted)
        raise UserError(
            f"{folder / MODEL} reads {name!r:.100}, which {MANIFEST} has no checksum of; "
            "run: make train"
        )
    return manifest


def registered_version(folder: Path) -> dict[str, str]:
    """Return name, version and alias under which a bundle is registered; empty if it is not.

    Raises
    ------
    UserError
        If the file that says so is corrupt.
    """
    path = folder / VERSION
    try:
        return REGISTERED.validate_json(path.read_bytes()) if path.is_file() else {}
    except ValidationError:
        raise UserError(f"{path} is corrupt; run: make pull") from None


def replace_folder(new: Path, old: Path) -> None:
    """Replace a folder by another; the old one stays until the new one is whole."""
    retired = old.with_name(f".{old.name}.retired")
    shutil.rmtree(retired, ignore_errors=True)
    if old.exists():
        old.rename(retired)
    new.rename(old)
    shutil.rmtree(retired, ignore_errors=True)


def current_bundle() -> Path:
    """Return the champion's bundle, or the challenger's while there is no champion."""
    champion, challenger = Path("bundles/champion"), Path("bundles/challenger")
    if not champion.exists() and challenger.exists():
        print("there is no champion yet: using the challenger", file=sys.stderr)
        return challenger
    return champion
