"""Disks that are full or read-only: one line says so, nothing is left, and a rerun succeeds.

Each command runs in a mount namespace of its own, with real file systems.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import lack

from engine.support import PACKAGE, main

ALONE = ("unshare", "--map-root-user", "--mount")
RAN = subprocess.CompletedProcess[str]


def run(folder: Path, mounts: str, *arguments: str, after: str = "") -> RAN:
    """Run a command after `mounts`; after it the shell's `after`, in which `again` repeats it."""
    if subprocess.run([*ALONE, "sh", "-ec", "mount -t tmpfs none /mnt"]).returncode:
        lack("no disk may be mounted here")
    store = {"MLFLOW_TRACKING_URI": os.environ["MLFLOW_TRACKING_URI"]}
    script = f'again() {{ "$@"; }}; {mounts}; "$@"; code=$?; {after or "true"}; exit $code'
    command = [*ALONE, "sh", "-c", script, "sh", sys.executable, "-m", PACKAGE, *arguments]
    return subprocess.run(
        command, cwd=folder, env=os.environ | store, capture_output=True, text=True
    )


def full(place: str, limit: str) -> str:
    """Return the shell's words that put a folder on a disk with a limit; $used is its kilobytes."""
    move = f"mkdir -p {place} aside; cp -a {place}/. aside; mount -t tmpfs none {place}"
    used = f"used=$(df -k --output=used {place} | tail -n 1)"
    return f"{move}; cp -a aside/. {place}; {used}; mount -o remount,{limit} {place}"


def read_only(place: str) -> str:
    """Return the shell's words that make a file or a folder read-only."""
    there = f'"$PWD"/{place}'
    return f'mount --bind {there} {there} && mount -o remount,bind,ro {there} && cd "$PWD"'


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, write_project: Callable[..., Path]) -> Path:
    """The small project, trained once."""
    folder = tmp_path_factory.mktemp("disks") / "project"
    folder.mkdir()
    write_project(folder, split={"cross_validate_below": 0})
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.chdir(folder):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        assert main(["train"]) == 0
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the trained project."""
    folder = tmp_path / "project"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    return folder


def told(ran: RAN, complaint: str) -> None:
    """Check that a command said one thing, in a line or two, and what to do."""
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.count("error: ") == 1
    assert complaint in ran.stderr
    assert len(ran.stderr.splitlines()) <= 2, ran.stderr


@pytest.mark.parametrize("limit", ["size=64k", "nr_inodes=8"])
def test_a_bundle_that_a_full_disk_cuts_off_is_told_and_pulled_again(
    project: Path, limit: str
) -> None:
    shutil.rmtree("bundles")
    more = 'ls -A bundles >left; mount -o remount,size=9m,nr_inodes=999 bundles; again "$@"'
    ran = run(project, full("bundles", limit), "pull", after=more)
    told(ran, "the disk is full")
    assert Path("left").read_text() == ""
    assert ran.stdout == "champion: version 1\nchallenger: version 1\n"


def test_a_database_that_a_full_disk_cuts_off_is_made_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other/mlflow.db")
    more = 'ls -A other >left; mount -o remount,size=9m other; again "$@"'
    ran = run(project, full("other", "size=300k"), "pull", after=more)
    told(ran, "database or disk is full")
    assert Path("left").read_text() == ""
    assert ran.stdout == "champion: version none\nchallenger: version none\n"


def test_a_training_on_a_full_disk_leaves_no_unfinished_bundle(project: Path) -> None:
    more = "ls -A bundles >left"
    ran = run(project, full("bundles", "size=$((used + 60))k"), "train", "--fresh", after=more)
    told(ran, "the disk is full")
    assert "unfinished" not in Path("left").read_text()


def test_a_page_that_a_full_disk_cuts_off_leaves_nothing(project: Path) -> None:
    ran = run(
        project,
        full("data", "size=$((used + 4))k"),
        *("monitor", "--part", "test"),
        after="ls -A data >left",
    )
    told(ran, "the disk is full: data/drift.html")
    assert "unfinished" not in Path("left").read_text()


@pytest.mark.parametrize(
    ("place", "arguments", "complaint"),
    [
        (".", ["promote"], ".lock: read-only file system"),
        (".", ["monitor", "--part", "test"], "data/drift.html: read-only file system"),
        (".", ["key", "--name", "ann"], "keys.txt: read-only file system"),
        ("bundles", ["pull"], "bundles/.champion.unfinished: read-only file system"),
        ("mlflow.db", ["train"], "attempt to write a readonly database"),
    ],
)
def test_what_is_read_only_is_named(
    project: Path, place: str, arguments: list[str], complaint: str
) -> None:
    told(run(project, read_only(place), *arguments), complaint)
