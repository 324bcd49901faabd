"""Reporting: from MLflow and the champion's bundle to README.md. The whole way, top to bottom."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from coldstart.bundle._bundle import registered_version, verify_bundle
from coldstart.config._settings import Settings
from coldstart.data._dataset import load
from coldstart.errors import UserError
from coldstart.report._markers import fill
from coldstart.report._picture import Stages, picture, stages
from coldstart.report._results import newest, results
from coldstart.report._screenshot import SHOT, take
from coldstart.tracking import _registry as registry
from coldstart.tracking._mlflow import connect

README = Path("README.md")


class Shown(NamedTuple):
    """What the last training showed.

    Attributes
    ----------
    folder
        The champion's bundle.
    stages
        The way of the data.
    results
        The table, and what it shows.
    """

    folder: Path
    stages: Stages
    results: str


def shown(settings: Settings) -> Shown:
    """Look at MLflow, the champion's bundle and what is prepared.

    Raises
    ------
    UserError
        If there is no champion, or its bundle or the data is another than it was trained on.
    """
    client = connect(settings)
    version = registry.version_of(client, settings, registry.CHAMPION)
    if version is None:
        raise UserError("there is no champion to report on yet; run: make train")
    folder = registry.BUNDLES / registry.CHAMPION
    if registered_version(folder).get("version") != version:
        raise UserError(f"{folder} is not the champion, version {version}; run: make pull")
    champion, dataset = verify_bundle(folder), load(settings)
    if champion.provenance["data"] != dataset.digest:
        raise UserError(
            "the champion was trained on other data than is prepared now; run: make train"
        )
    versions = newest(client, settings, champion, version)
    tested = len(np.unique(np.concatenate([one.test for one in dataset.splits])))
    families = [one.family for one in versions.values()]
    way = stages(dataset, champion, version, families)
    return Shown(folder, way, results(versions, version, tested))


def report(settings: Settings, shot: bool) -> None:
    """Fill in what README.md says between its marks.

    Raises
    ------
    UserError
        If there is nothing to report, or nowhere to put it; README.md is then as it was.
    """
    found = shown(settings)
    if shot:
        take(settings.project)
    blocks = {
        "results": found.results,
        "picture": picture(found.stages),
        "screenshot": f"![The demo page]({SHOT.as_posix()})" if SHOT.is_file() else "",
    }
    print(f"{README}: {', '.join(fill(README, blocks))}")
    if not SHOT.is_file():
        print(f"there is no {SHOT}: make report SHOT=1 takes it, if Chromium or Chrome is there")
