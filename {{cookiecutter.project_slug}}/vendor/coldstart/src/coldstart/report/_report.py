"""Reporting: from MLflow and the champion's bundle to README.md."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from coldstart.bundle._bundle import registered_version, verify_bundle
from coldstart.config._settings import Settings
from coldstart.data._dataset import load
from coldstart.errors import UserError
from coldstart.report._markers import fill
from coldstart.report._picture import Stages, picture, stages
from coldstart.report._results import newest_versions, results
from coldstart.report._screenshot import SCREENSHOT, take_screenshot
from coldstart.report._sections import data_section, example_section
from coldstart.tracking import _registry as registry
from coldstart.tracking._mlflow import connect

README = Path("README.md")


class LastTraining(NamedTuple):
    """The results of the last training.

    Attributes
    ----------
    folder : Path
        The champion's bundle.
    stages : Stages
        The pipeline.
    results : str
        The table of models, and what it shows, in Markdown.
    data : str
        The data, as the model card describes it.
    example : str
        A request of the API.
    """

    folder: Path
    stages: Stages
    results: str
    data: str
    example: str


def collect(settings: Settings) -> LastTraining:
    """Collect the results from MLflow, the champion's bundle and the prepared data.

    Parameters
    ----------
    settings : Settings
        Of the project.

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
    versions = newest_versions(client, settings, dataset, version)
    families = [one.manifest.family for one in versions.values()]
    pipeline = stages(dataset, champion, version, families)
    return LastTraining(
        folder,
        pipeline,
        results(versions, version, len(dataset.test_rows)),
        data_section(dataset, champion),
        example_section(dataset.contract),
    )


def report(settings: Settings, shot: bool) -> None:
    """Write the results between the marks of README.md.

    Parameters
    ----------
    settings : Settings
        Of the project.
    shot : bool
        Whether to take the screenshot of the demo page anew.

    Raises
    ------
    UserError
        If there are no results, or no marks; README.md is then as it was.
    """
    found = collect(settings)
    if shot:
        take_screenshot(settings.project)
    blocks = {
        "results": found.results,
        "data": found.data,
        "example": found.example,
        "picture": picture(found.stages),
        "screenshot": f"![The demo page]({SCREENSHOT.as_posix()})" if SCREENSHOT.is_file() else "",
    }
    print(f"{README}: {', '.join(fill(README, blocks))}")
    if not SCREENSHOT.is_file():
        print(f"there is no {SCREENSHOT}; to take it with Chromium or Chrome: make report SHOT=1")
