"""The registry: versions of the model, and which of them is the champion.

MLflow holds the versions and two aliases, `challenger` and `champion`. The folder
`bundles/` holds a copy of each alias's bundle, so that serving needs neither
MLflow nor a network.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import polars as pl
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, ValidationError

from coldstart.bundle._bundle import (
    CARD,
    MANIFEST,
    MODEL,
    TESTED,
    VERSION,
    Manifest,
    checksum,
    replace_folder,
    verify_bundle,
    write_manifest,
)
from coldstart.bundle._predictor import BundlePredictor
from coldstart.config._settings import Settings
from coldstart.contract._contract import EncodedFeatures
from coldstart.data._dataset import Dataset, encode
from coldstart.errors import UserError
from coldstart.tracking._mlflow import explain_error
from coldstart.train._clusters import clusters
from coldstart.train._evaluation import HeldOutPredictions, held_out_once, primary
from coldstart.train._intervals import interval

BUNDLES = Path("bundles")
CHAMPION, CHALLENGER = "champion", "challenger"
PREVIOUS = "previous_champion"
MIN_RATIO = 0.8  # a ratio from which a model counts as simpler or faster than another


class Evidence(BaseModel):
    """What a manifest says of a model that `make train` made, as far as models are compared by it.

    Parameters
    ----------
    git_dirty : bool
        Whether it was trained with changes that were not committed.
    data : str
        Digest of the prepared rows.
    primary : str
        Name of the metric that decides.
    interval : tuple of float
        Confidence interval of that metric on the test rows.
    baseline, test : dict
        Metrics on the test rows, of the dummy baseline and of the model.
    validation : float
        The metric that decides, on the validation rows.
    """

    git_dirty: bool
    data: str
    primary: str
    interval: tuple[float, float]
    baseline: dict[str, Any]
    test: dict[str, Any]
    validation: float


def evidence_of(manifest: Manifest) -> Evidence:
    """Return what a manifest says of its model.

    Raises
    ------
    UserError
        If `make train` did not write it.
    """
    try:
        return Evidence.model_validate(manifest.provenance | manifest.metrics)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UserError(
            f"its {MANIFEST} was not written by make train: {where} is missing or invalid"
        ) from None


def register(client: MlflowClient, settings: Settings, model_uri: str, run_id: str) -> str:
    """Register a logged model as a new version, and create the registered model if needed.

    Parameters
    ----------
    client : MlflowClient
        The tracking store.
    settings : Settings
        The project's settings, whose `experiment` is the name of the registered model.
    model_uri : str
        URI of the logged model.
    run_id : str
        Id of the run that logged it.

    Returns
    -------
    str
        Number of the version.
    """
    name = settings.experiment
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    model_id = model_uri.removeprefix("models:/")
    return str(client.create_model_version(name, model_uri, run_id, model_id=model_id).version)


def version_of(client: MlflowClient, settings: Settings, alias: str) -> str | None:
    """Version that has the alias, if one has."""
    try:
        return str(client.get_model_version_by_alias(settings.experiment, alias).version)
    except MlflowException as error:
        if explain_error(error):
            raise
        return None


def set_alias(client: MlflowClient, settings: Settings, alias: str, version: str) -> None:
    """Give the alias to a version, and put that version's bundle into `bundles/`.

    Raises
    ------
    UserError
        If the bundle is not whole. The alias then stays where it is.
    """
    with downloaded(settings, alias, version) as bundle:
        client.set_registered_model_alias(settings.experiment, alias, version)
        replace_folder(bundle, BUNDLES / alias)


def pull(client: MlflowClient, settings: Settings, alias: str) -> str | None:
    """Copy an alias's bundle into `bundles/`; return its version, or None if there is none.

    Raises
    ------
    UserError
        If the copy is not whole.
    """
    version = version_of(client, settings, alias)
    if version is None:
        return None
    with downloaded(settings, alias, version) as bundle:
        replace_folder(bundle, BUNDLES / alias)
    return version


@contextmanager
def downloaded(settings: Settings, alias: str, version: str) -> Iterator[Path]:
    """Download a version's bundle, verified, into a folder beside that of an alias.

    Raises
    ------
    UserError
        If it is not a bundle, or not whole. Nothing is left of it.
    """
    unfinished = BUNDLES / f".{alias}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        download(settings, version, unfinished, {"alias": alias})
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def download(
    settings: Settings, version: str, folder: Path, about: Mapping[str, str] | None = None
) -> None:
    """Copy the bundle of a registered version into a new folder.

    Parameters
    ----------
    settings : Settings
        The project's settings.
    version : str
        Number of the version.
    folder : Path
        The folder, which is made.
    about : mapping, optional
        What the bundle's version.json says besides the model's name and version.

    Raises
    ------
    UserError
        If the version is not a bundle, or the copy is not whole.
    """
    folder.mkdir(parents=True)
    registered = {"name": settings.experiment, "version": version, **(about or {})}
    uri = f"models:/{settings.experiment}/{version}"
    mlflow.artifacts.download_artifacts(uri, dst_path=str(folder))
    # Before it is verified, in case the bundle holds a file of this name.
    (folder / VERSION).write_text(json.dumps(registered) + "\n")
    try:
        verify_bundle(folder)
    except UserError as error:
        what = str(error).split("; run: ")[0]  # which would not help: the registry itself is wrong
        raise UserError(
            f"version {version} in the registry is refused: {what}; give its aliases to another: "
            "make ui"
        ) from None


def rewrite_card(
    client: MlflowClient, settings: Settings, version: str, change: Callable[[str], str]
) -> None:
    """Change the card in a version's bundle, before an alias points to it.

    Killed between the two files that it writes, it leaves a version that `verify_bundle` refuses;
    done again, it makes it whole.
    """
    uri = f"models:/{settings.experiment}/{version}"
    with tempfile.TemporaryDirectory() as at:
        card, sealed = Path(at, CARD), Path(at, MANIFEST)
        for path in (card, sealed):
            mlflow.artifacts.download_artifacts(f"{uri}/{path.name}", dst_path=at)
        card.write_text(change(card.read_text(encoding="utf-8")), encoding="utf-8")
        manifest = Manifest.model_validate_json(sealed.read_bytes())
        manifest.files[CARD] = checksum(card)
        write_manifest(sealed.parent, manifest)
        model = client.get_model_version(settings.experiment, version).source
        client.log_model_artifacts(str(model).removeprefix("models:/"), at)


def manifest_of(settings: Settings, version: str) -> Manifest:
    """Return what the bundle of a registered version says of its model.

    Raises
    ------
    UserError
        If the version is not a bundle.
    """
    uri = f"models:/{settings.experiment}/{version}"
    try:
        with tempfile.TemporaryDirectory() as at:
            mlflow.artifacts.download_artifacts(f"{uri}/{MANIFEST}", dst_path=at)
            return Manifest.model_validate_json(Path(at, MANIFEST).read_bytes())
    except (MlflowException, ValidationError) as error:
        if explain_error(error):
            raise
        raise UserError(f"version {version} in the registry has no valid {MANIFEST}") from None


def promote(
    client: MlflowClient, settings: Settings, dataset: Dataset, version: str | None = None
) -> str:
    """Make the challenger the champion, if it passes the gate.

    Parameters
    ----------
    client : MlflowClient
        The tracking store.
    settings : Settings
        The project's settings.
    dataset : Dataset
        The prepared rows, on whose test set both models are compared.
    version : str, optional
        A version to make the challenger first.

    Returns
    -------
    str
        The new champion and the reason, in a line.

    Raises
    ------
    UserError
        If the challenger does not pass. The message names each reason.
    """
    if version is not None:
        point_challenger(client, settings, version)
    challenger = pull(client, settings, CHALLENGER)
    champion = pull(client, settings, CHAMPION)
    if challenger is None:
        raise UserError("there is no challenger yet; run: make train")
    if challenger == champion:
        raise UserError(f"version {champion} is the champion already")
    new = BundlePredictor(BUNDLES / CHALLENGER)
    blockers = promotion_blockers(new, dataset)
    reason = "there was no champion"
    # Without one in this tracking store, the folder may hold another store's champion.
    if (BUNDLES / CHAMPION).exists() and not blockers:
        old = BundlePredictor(BUNDLES / CHAMPION)
        better, reason = compare(new, old, dataset, settings.margin)
        if not better:
            blockers.append(reason)
    if blockers:
        raise UserError(f"version {challenger} was not promoted: " + "; ".join(blockers))
    if champion:
        client.set_model_version_tag(settings.experiment, challenger, PREVIOUS, champion)
    set_alias(client, settings, CHAMPION, challenger)
    return f"version {challenger} ({new.manifest.family}) is the champion: {reason}"


def point_challenger(client: MlflowClient, settings: Settings, version: str) -> None:
    """Make a version the challenger.

    Raises
    ------
    UserError
        If it is not registered.
    """
    check_registered(client, settings, version)
    set_alias(client, settings, CHALLENGER, version)


def check_registered(client: MlflowClient, settings: Settings, version: str) -> None:
    """Check that a version is registered.

    Raises
    ------
    UserError
        If not.
    """
    registered = [
        str(one.version) for one in client.search_model_versions(f"name = '{settings.experiment}'")
    ]
    if version not in registered:
        known = ", ".join(sorted(registered, key=int)[-5:]) or "none"
        raise UserError(f"version {version} is not registered; the newest are: {known}")


def promotion_blockers(new: BundlePredictor, dataset: Dataset) -> list[str]:
    """Reasons against a challenger that have nothing to do with the champion."""
    try:
        found = evidence_of(new.manifest)
    except UserError as error:
        return [str(error)]
    against = []
    if found.git_dirty:
        against.append(
            "it was trained with changes that are not committed (git commit, then make train)"
        )
    if found.data != dataset.digest:
        against.append("it was trained on other data than is prepared now (make train)")
    if not found.interval[0] > found.baseline.get(found.primary, np.inf):
        against.append("on the test rows it is not significantly better than the dummy baseline")
    return against


def compare(
    new: BundlePredictor, old: BundlePredictor, dataset: Dataset, margin: float
) -> tuple[bool, str]:
    """Decide between challenger and champion on the same test rows, and say why.

    A challenger that is not significantly better must be smaller or faster, and at most `margin`
    worse by the interval's lower end (non-inferiority).

    Where no rows were held out, since they were few, the predictions that each bundle
    keeps are compared: those of its rounds, by models that did not see the row.
    """
    if old.manifest.target != new.manifest.target:
        return True, f"the champion predicts {old.manifest.target}"
    if not set(old.contract.features) <= set(dataset.table.columns):
        return True, "the champion reads columns that the data no longer has"
    name = primary(len(dataset.classes))
    if len(dataset.splits) > 1:
        if old.manifest.provenance.get("data") != dataset.digest:
            return compare_apart(new, old, name, margin)
        mine, theirs = (tested(predictor, dataset) for predictor in (new, old))
        same = np.intersect1d(mine.rows, theirs.rows)
        mine, theirs = (held[np.isin(held.rows, same)] for held in (mine, theirs))
    else:
        rows = dataset.splits[0].test
        mine, theirs = (
            held_out_once(
                rows,
                dataset.target(rows),
                predictor.predict_as(
                    encode(predictor.contract, dataset.table[rows]), dataset.classes
                ),
                clusters(dataset, rows),
                **predictor.decision_for(dataset.classes),
            )
            for predictor in (new, old)
        )
    low, high = interval(mine, theirs)
    gain = f"{name} {low:+.4f} to {high:+.4f} compared with the champion (95% CI)"
    if low > 0:
        return True, gain
    if high < 0:
        return False, f"it is worse: {gain}"
    if not is_as_good(low, margin):
        return False, (
            f"it may be more than {margin:g} worse: {gain}; margin in config.yaml is the loss that "
            "a smaller or faster model may have"
        )
    gain += f", a loss of {margin:g} or more is excluded"
    size = size_of(new) / size_of(old)
    if size <= MIN_RATIO:
        return True, f"as good ({gain}) and {1 / size:.1f} times smaller"
    one = dataset.table[:1]
    times = [one_row_time(predictor, encode(predictor.contract, one)) for predictor in (new, old)]
    if times[0] / times[1] <= MIN_RATIO:
        return True, f"as good ({gain}) and {times[1] / times[0]:.1f} times faster"
    return False, f"it is not significantly better ({gain}), nor smaller or faster"


def is_as_good(low: float, margin: float) -> bool:
    """Return whether a difference with this lower end excludes a loss of the margin."""
    return low > -margin


def compare_apart(
    new: BundlePredictor, old: BundlePredictor, name: str, margin: float
) -> tuple[bool, str]:
    """Decide between models of different data, neither of which kept rows from itself."""
    found, before = (model.manifest.metrics["test"][name] for model in (new, old))
    what = (
        f"{name} {found:.4f} on its own data; the champion's was {before:.4f} on other data (too "
        f"few rows to hold any out that neither saw; {margin:g} less is accepted: margin in "
        "config.yaml)"
    )
    passes = found >= before - margin
    return passes, what if passes else f"it is worse: {what}"


def keep_tested(held: HeldOutPredictions, path: Path, numbers: int) -> None:
    """Write predictions of the test rows, of a random part of them if they are very many."""
    repeats, rows, width = held.prediction.shape
    kept = min(rows, max(1, numbers // (repeats * width)))
    chosen = np.sort(np.random.default_rng(0).permutation(rows)[:kept])
    held = held[chosen]
    columns = {f"prediction {i}": held.prediction[:, :, i].ravel() for i in range(width)}
    pl.DataFrame(
        {
            "repeat": np.repeat(np.arange(repeats), kept),
            "row": np.tile(held.rows, repeats),
            **{name: values.astype(np.float32) for name, values in columns.items()},
            "label": held.labels.ravel(),
        }
    ).write_csv(path)


def tested(predictor: BundlePredictor, dataset: Dataset) -> HeldOutPredictions:
    """Return the predictions of the test rows that a bundle keeps."""
    return read_tested(predictor.folder / TESTED, dataset)


def read_tested(path: Path, dataset: Dataset) -> HeldOutPredictions:
    """Read the predictions that `keep_tested` wrote."""
    table = pl.read_csv(path).sort("repeat", "row")
    repeats = table["repeat"].n_unique()
    rows = table["row"].to_numpy().reshape(repeats, -1)[0]
    prediction = table.select(pl.col("^prediction .*$")).to_numpy()
    return HeldOutPredictions(
        rows,
        dataset.target(rows),
        prediction.reshape(repeats, len(rows), -1),
        table["label"].to_numpy().reshape(repeats, -1),
        clusters(dataset, rows),
    )


def size_of(predictor: BundlePredictor) -> int:
    """Size of the graph in bytes."""
    return (predictor.folder / MODEL).stat().st_size


def one_row_time(predictor: BundlePredictor, row: EncodedFeatures) -> float:
    """Median seconds that the graph takes for one row."""
    times = []
    for _ in range(300):
        start = time.perf_counter()
        predictor.predict(row)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def rollback(client: MlflowClient, settings: Settings) -> str:
    """Make the champion before this one the champion again, and say so.

    Raises
    ------
    UserError
        If there was none.
    """
    champion = version_of(client, settings, CHAMPION)
    if champion is None:
        raise UserError("there is no champion to roll back; run: make train")
    tags = client.get_model_version(settings.experiment, champion).tags
    if PREVIOUS not in tags:
        raise UserError(f"version {champion} is the first champion: there is none before it")
    set_alias(client, settings, CHAMPION, tags[PREVIOUS])
    return f"version {tags[PREVIOUS]} is the champion again, instead of version {champion}"
