"""The registry: versions of the model, and which of them is the champion.

MLflow holds the versions and two aliases, `challenger` and `champion`. The folder
`bundles/` holds a copy of each alias's bundle, so that serving needs neither
MLflow nor a network.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pydantic import ValidationError

from coldstart.bundle._bundle import (
    CARD,
    MANIFEST,
    VERSION,
    Manifest,
    checksum,
    confirmed_score,
    replace_folder,
    verify_bundle,
    write_manifest,
)
from coldstart.bundle._predictor import BundlePredictor
from coldstart.config._settings import Settings
from coldstart.data._dataset import Dataset
from coldstart.errors import UserError, no_room
from coldstart.tracking._gate import compare, promotion_blockers
from coldstart.tracking._mlflow import explain_error

BUNDLES = Path("bundles")
CHAMPION, CHALLENGER = "champion", "challenger"
PREVIOUS = "previous_champion"


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


def set_alias(
    client: MlflowClient,
    settings: Settings,
    alias: str,
    version: str,
    downloaded: Path | None = None,
) -> None:
    """Give the alias to a version, and put that version's bundle into `bundles/`.

    Parameters
    ----------
    client : MlflowClient
        The tracking store.
    settings : Settings
        The project's settings.
    alias : str
        The alias.
    version : str
        Number of the version.
    downloaded : Path, optional
        Folder with the version's bundle, if it was downloaded already.

    Raises
    ------
    UserError
        If the bundle is not whole. The alias then stays where it is.
    """
    with new_copy(settings, alias, version, downloaded) as bundle:
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
    with new_copy(settings, alias, version) as bundle:
        replace_folder(bundle, BUNDLES / alias)
    return version


@contextmanager
def new_copy(
    settings: Settings, alias: str, version: str, downloaded: Path | None = None
) -> Iterator[Path]:
    """Copy a version's bundle, verified, into a folder beside that of an alias.

    It is downloaded, unless a folder is given that it was downloaded to.

    Raises
    ------
    UserError
        If it is not a bundle, or not whole. Nothing is left of it.
    """
    unfinished = BUNDLES / f".{alias}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        if downloaded is None:
            download(settings, version, unfinished, {"alias": alias})
        else:
            verify_bundle(downloaded)
            shutil.copytree(downloaded, unfinished)
            write_version(unfinished, settings, version, {"alias": alias})
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
    fetch(settings, version, folder)
    # Before it is verified, in case the bundle holds a file of this name.
    write_version(folder, settings, version, about or {})
    try:
        verify_bundle(folder)
    except UserError as error:
        what = str(error).split("; run: ")[0]  # which would not help: the registry itself is wrong
        raise UserError(
            f"version {version} in the registry is refused: {what}; give its aliases to another: "
            "make ui"
        ) from None


def write_version(folder: Path, settings: Settings, version: str, about: Mapping[str, str]) -> None:
    """Write which version a bundle is a copy of, and what else is known of it."""
    registered = {"name": settings.experiment, "version": version, **about}
    (folder / VERSION).write_text(json.dumps(registered) + "\n")


def fetch(settings: Settings, version: str, folder: Path, name: str = "") -> None:
    """Copy the files of a registered version, or one of them, into a folder.

    Raises
    ------
    UserError
        If the registry does not have them any more.
    """
    uri = f"models:/{settings.experiment}/{version}"
    try:
        mlflow.artifacts.download_artifacts(f"{uri}/{name}".rstrip("/"), dst_path=str(folder))
    except (MlflowException, OSError) as error:
        if no_room(error) or explain_error(error):
            raise
        # The lines that begin with # are names of files; each is followed by what is wrong.
        lines = [line for line in str(error).splitlines() if line and not line.startswith("#")]
        what = (lines[1:] or lines or [type(error).__name__])[0][:300]
        raise UserError(
            f"the files of version {version} cannot be read from the registry: {what}; "
            "restore them, or run: make train"
        ) from None


def rewrite_card(
    client: MlflowClient, settings: Settings, version: str, change: Callable[[str], str]
) -> None:
    """Change the card in a version's bundle, before an alias points to it.

    Killed between the two files that it writes, it leaves a version that `verify_bundle` refuses;
    done again, it makes it whole.
    """
    with tempfile.TemporaryDirectory() as at:
        card, sealed = Path(at, CARD), Path(at, MANIFEST)
        for path in (card, sealed):
            fetch(settings, version, Path(at), path.name)
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
    try:
        with tempfile.TemporaryDirectory() as at:
            fetch(settings, version, Path(at), MANIFEST)
            return Manifest.model_validate_json(Path(at, MANIFEST).read_bytes())
    except ValidationError:
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
    challenger = version or pull(client, settings, CHALLENGER)
    champion = pull(client, settings, CHAMPION)
    if challenger is None:
        raise UserError("there is no challenger yet; run: make train")
    return promote_copy(client, settings, dataset, challenger, champion)


def promote_copy(
    client: MlflowClient,
    settings: Settings,
    dataset: Dataset,
    challenger: str,
    champion: str | None,
) -> str:
    """Promote the challenger; the bundles of both are in `bundles/`. See `promote`."""
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
    set_alias(client, settings, CHAMPION, challenger, BUNDLES / CHALLENGER)
    without = confirmed_score(new.manifest.metrics)
    return f"version {challenger} ({new.manifest.family}) is the champion: {reason}" + (
        f"; {without}" if without else ""
    )


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
