"""Reporting: from MLflow and the champion's bundle to README.md. The whole way, top to bottom."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ... import registry
from ...bundle import open_bundle, registered_version
from ...errors import UserError
from ...preparation import load
from ...settings import Settings
from ...tracking import connect
from .marks import fill
from .picture import picture
from .results import newest, results
from .screenshot import SHOT, take

README = Path("README.md")


def report(settings: Settings, shot: bool) -> None:
    """Fill in what README.md says between its marks.

    Raises
    ------
    UserError
        If there is nothing to report, or nowhere to put it; README.md is then as it was.
    """
    client = connect(settings)
    version = registry.version_of(client, settings, registry.CHAMPION)
    if version is None:
        raise UserError("there is no champion to report on yet; run: make train")
    folder = registry.BUNDLES / registry.CHAMPION
    if registered_version(folder).get("version") != version:
        raise UserError(f"{folder} is not the champion, version {version}; run: make pull")
    champion, prepared = open_bundle(folder), load(settings)
    if champion.provenance["data"] != prepared.digest:
        raise UserError(
            "the champion was trained on other data than is prepared now; run: make train"
        )
    if shot:
        take()
    versions = newest(client, settings, champion, version)
    tested = len(np.unique(np.concatenate([one.test for one in prepared.rounds])))
    families = [one.family for one in versions.values()]
    blocks = {
        "results": results(versions, version, tested),
        "picture": picture(prepared, champion, version, families),
        "screenshot": f"![The demo page]({SHOT.as_posix()})" if SHOT.is_file() else "",
    }
    print(f"{README}: {', '.join(fill(README, blocks))}")
    if not SHOT.is_file():
        print(f"there is no {SHOT}: make report SHOT=1 takes it, if Chromium or Chrome is there")
