"""Publishing at the Hugging Face Hub: its own client, and a stand-in for what it talks to.

The stand-in answers over HTTP. What was published is downloaded from it, loaded, and compared with
what the project has here.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import GeneratedProject, ask, clean_environment, free_port, wait_for
from huggingface_hub import HfApi, ModelCard, SpaceCard, snapshot_download

from coldstart.bundle._bundle import MANIFEST, registered_version, verify_bundle
from coldstart.bundle._predictor import BundlePredictor
from engine.deploy.hub import TOKEN, Hub

ROW = {"phase_of_flt": "Climb", "height": 500, "speed": 140, "birds_struck": "11-100"}
ENGINE = "src", "vendor/coldstart/src"


@pytest.fixture(scope="module")
def project(
    generate: Callable[..., GeneratedProject], tmp_path_factory: pytest.TempPathFactory
) -> GeneratedProject:
    """A generated project with a champion. Its own source runs, in the tests' environment."""
    project = generate()
    project.thin(5)
    project.run("git", "commit", "--quiet", "--all", "--message", "Fewer rows")
    run(project, "train", "--models", "tree")
    return project


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment in which a project's own source is imported."""
    found = [str(folder / name) for name in ENGINE]
    others = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    return clean_environment() | {"PYTHONPATH": os.pathsep.join([*found, *others])} | more


def run(project: GeneratedProject, *arguments: str, fails: bool = False, **env: str) -> str:
    """Return what a command prints; of one that fails, the mistake in its line."""
    done = subprocess.run(
        [sys.executable, "-m", project.package, *arguments],
        cwd=project.path,
        env=environment(project.path, **env),
        capture_output=True,
        text=True,
    )
    assert done.returncode == (2 if fails else 0), done.stdout + done.stderr
    if fails:
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1, done.stderr
        return done.stderr
    return done.stdout


@pytest.fixture
def hub() -> Iterator[Hub]:
    """The stand-in, empty."""
    with closing(Hub()) as hub:
        yield hub


@pytest.fixture
def access(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """The variables by which the client finds the stand-in, and no login of this machine."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }


def download(hub: Hub, repo: str, folder: Path, kind: str = "model") -> Path:
    """Download a repository with the Hub's client."""
    api = HfApi(endpoint=hub.url, token=TOKEN)
    return Path(api.snapshot_download(repo, repo_type=kind, local_dir=folder))


def scores(folder: Path) -> Any:
    """Return what a bundle predicts for a row."""
    predictor = BundlePredictor(folder)
    return predictor.score([{name: ROW.get(name) for name in predictor.contract.features}])


def test_a_published_model_is_downloaded_and_predicts_as_the_champion_does(
    project: GeneratedProject, hub: Hub, access: dict[str, str], tmp_path: Path
) -> None:
    said = run(project, "push", "--on", "hf", **access)
    print(said, hub.requests)
    champion = project.path / "bundles/champion"
    folder = download(hub, "ann/bird-strikes", tmp_path / "copy")
    assert scores(folder) == scores(champion)
