"""A project is generated in six ways, and each of them predicts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, GeneratedProject, ask, clean_environment, free_port, kept, wait_for
from overlay import make_environment

pytestmark = pytest.mark.slow

NAME = "bird-strikes"
ROW = {"phase_of_flt": "Climb", "height": 500, "speed": 140, "birds_struck": "11-100"}


def run(folder: Path, *command: str | Path) -> str:
    """Run a command in a folder with a home of its own; it must succeed."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    environment = clean_environment() | {"HOME": str(home)}
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tool(name: str) -> Path:
    """Return a program of the template's environment."""
    return Path(sys.executable).with_name(name)


def commit_what_stands_here(repository: Path, message: str) -> None:
    """Make the template as it stands here a repository's next commit."""
    for path in repository.iterdir():
        if path.is_dir() and path.name != ".git":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    for path in kept():
        copy = repository / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    run(repository.parent, "git", "-C", repository, "add", "--all")
    run(repository.parent, "git", "-C", repository, "commit", "--quiet", "-m", message)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository that holds the template as it stands here."""
    path = tmp_path_factory.mktemp("template") / "coldstart"
    run(path.parent, "git", "init", "--quiet", "--initial-branch", "main", path)
    commit_what_stands_here(path, "As it stands here")
    return path


def from_an_absolute_folder(repository: Path, folder: Path) -> None:
    """Generate from a path that begins at the root."""
    run(folder, tool("cookiecutter"), "--no-input", ROOT)


def from_a_relative_folder(repository: Path, folder: Path) -> None:
    """Generate from a path that begins here."""
    (folder / "coldstart").symlink_to(ROOT)
    run(folder, tool("cookiecutter"), "--no-input", "coldstart")


def from_a_zip(repository: Path, folder: Path) -> None:
    """Generate from an archive, as GitHub offers it."""
    archive = folder / "coldstart.zip"
    listed = run(folder, "git", "-C", repository, "ls-files", "-z").split("\0")
    with zipfile.ZipFile(archive, "w") as packed:
        packed.mkdir("coldstart-main")
        for name in filter(None, listed):
            packed.write(repository / name, f"coldstart-main/{name}")
    run(folder, tool("cookiecutter"), "--no-input", archive)


def from_a_git_address(repository: Path, folder: Path) -> None:
    """Generate from a repository that is cloned first."""
    run(folder, tool("cookiecutter"), "--no-input", f"git+file://{repository}")


def by_cruft(repository: Path, folder: Path) -> None:
    """Generate with cruft, which remembers the version."""
    run(folder, tool("cruft"), "create", "--no-input", repository)


def by_an_update(repository: Path, folder: Path) -> None:
    """Generate from an older version, and update."""
    older = folder / "older"
    run(folder, "git", "clone", "--quiet", repository, older)
    page = older / "{{cookiecutter.project_slug}}/vendor/coldstart/README.md"
    page.write_text("# An older engine\n")
    run(folder, "git", "-C", older, "commit", "--quiet", "--all", "-m", "Older")
    run(folder, tool("cruft"), "create", "--no-input", older)
    project = folder / NAME
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "-m", "Made by cruft")
    run(folder, "git", "-C", older, "revert", "--no-edit", "HEAD")
    run(project, tool("cruft"), "update", "--skip-apply-ask")


FOLDERS = [from_an_absolute_folder, from_a_relative_folder]
WAYS = [*FOLDERS, from_a_zip, from_a_git_address, by_cruft, by_an_update]


@pytest.mark.parametrize("way", WAYS, ids=[way.__name__ for way in WAYS])
def test_a_project_predicts_however_it_was_generated(
    way: Callable[[Path, Path], None], repository: Path, tmp_path: Path, trained: GeneratedProject
) -> None:
    way(repository, tmp_path)
    project = GeneratedProject(tmp_path / NAME)
    engine = "{{cookiecutter.project_slug}}/vendor/coldstart"
    source = (ROOT if way in FOLDERS else repository) / engine
    for path in kept(ROOT / engine):
        name = path.relative_to(ROOT / engine)
        copy = project.path / "vendor/coldstart" / name
        assert copy.read_bytes() == (source / name).read_bytes(), name
    make_environment(project.path)
    shutil.copytree(trained.path / "bundles", project.path / "bundles", symlinks=True)
    printed = project.make("predict").stdout
    assert "effect is " in printed
    assert printed == trained.make("predict").stdout
    if way is not from_a_zip:
        return
    port = free_port()
    server = subprocess.Popen(
        [project.python, "-m", project.package, "serve", "--serving.port", str(port)],
        cwd=project.path,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health/ready", server, 60)
        answer = ask(f"http://127.0.0.1:{port}/predict", {"rows": [ROW]})
    finally:
        server.terminate()
        server.wait(timeout=30)
    manifest = json.loads((project.path / "bundles/champion/bundle.json").read_text())
    assert answer["predictions"][0]["label"] in manifest["classes"]
