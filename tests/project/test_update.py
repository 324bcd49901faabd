"""Updating a baked project when the template has moved on."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, BakedProject, clean_environment, kept

CRUFT = Path(sys.executable).with_name("cruft")
OLDER = "75766ad8986b771e052efba60ddce0867fe1de49"
"""The version with which updates began."""


def git(folder: Path, *arguments: str) -> None:
    """Run git."""
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def cruft(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run cruft."""
    return subprocess.run(
        [CRUFT, *arguments], cwd=folder, capture_output=True, text=True, env=clean_environment()
    )


def commit_what_stands_here(template: Path, message: str) -> None:
    """Make the template as it stands here a repository's next commit."""
    for path in template.iterdir():
        if path.is_dir() and path.name != ".git":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    for path in kept():
        copy = template / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    git(template, "add", "-A")
    git(template, "commit", "-qm", message)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A repository that holds the template as it stands here, with one commit."""
    path = tmp_path / "template"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    commit_what_stands_here(path, "Older version")
    return path


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The template's own repository, when updates began."""
    path = tmp_path / "template"
    subprocess.run(["git", "clone", "-q", ROOT, path], check=True, capture_output=True)
    found = subprocess.run(["git", "cat-file", "-e", OLDER], cwd=path, capture_output=True)
    if found.returncode:
        pytest.skip("the older version is not in this clone: git fetch --unshallow")
    git(path, "checkout", "-q", "-B", "main", OLDER)
    return path


@pytest.mark.slow
def test_an_update_brings_the_templates_changes_and_keeps_ones_own(
    template: Path, tmp_path: Path, installed: BakedProject
) -> None:
    done = cruft(tmp_path, "create", str(template), "--no-input")
    assert done.returncode == 0, done.stderr
    project = BakedProject(tmp_path / "bird-strikes")
    git(project.path, "add", "-A")
    git(project.path, "commit", "-qm", "Baked")
    assert cruft(project.path, "check").returncode == 0

    # The person edits two files, ...
    config, contract = project.path / "config.yaml", project.path / "schema.yaml"
    config.write_text(config.read_text().replace("leak_threshold: 0.60", "leak_threshold: 0.65"))
    contract.write_text(contract.read_text().replace("maximum: 45000", "maximum: 50000"))
    git(project.path, "commit", "-qam", "My own choices")
    # ... and the template changes others, and one of the same.
    baked = template / "{{cookiecutter.project_slug}}"
    card = baked / "src" / "{{cookiecutter.__package}}" / "card.py"
    card.write_text(card.read_text().replace("# Model card: ", "# Card of the model: "))
    choices = baked / "config.yaml"
    choices.write_text(choices.read_text().replace("\ndata:\n", "\nseed: 1\n\ndata:\n"))
    (baked / "NOTE.md").write_text("A new file.\n")
    git(template, "add", "-A")
    git(template, "commit", "-qm", "Newer version")

    assert cruft(project.path, "check").returncode == 1
    done = cruft(project.path, "update", "--skip-apply-ask")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(project.path.rglob("*.rej"))
    assert "leak_threshold: 0.65" in config.read_text()
    assert "\nseed: 1\n" in config.read_text()
    assert "maximum: 50000" in contract.read_text()
    assert (project.path / "NOTE.md").is_file()
    updated = project.path / "src" / project.package / "card.py"
    assert "# Card of the model: " in updated.read_text()
    assert cruft(project.path, "check").returncode == 0

    tests = ["tests/test_contract.py", "tests/test_validation.py", "tests/test_splitting.py"]
    done = project.run(installed.python, "-m", "pytest", "-q", *tests, PYTHONPATH="src")
    assert done.returncode == 0, done.stdout


OWN_PATIENCE = ("patience: int = Field(3,", "patience: int = Field(5,")
ROOMS_CONFIG = "data:\n  table: rooms.csv\n\nmodels: [linear, tree]\n"
ROOMS_CONTRACT = """\
# The rooms of a house.
columns:
  area:
    type: number
    minimum: 0
  floor:
    type: category
    categories: [ground, first]
  warm:
    role: target
    type: boolean
"""


def made_by_cruft(template: Path, folder: Path) -> BakedProject:
    """A project as docs/updates.md has it made, with some code of one's own."""
    done = cruft(folder, "create", str(template), "--no-input")
    assert done.returncode == 0, done.stderr
    project = BakedProject(folder / "bird-strikes")
    git(project.path, "add", "-A")
    git(project.path, "commit", "-qm", "Made by cruft")
    source = project.path / "src" / project.package
    edit(source / "settings.py", *OWN_PATIENCE)
    (source / "mine.py").write_text('"""A module of one\'s own."""\n')
    return project


def edit(path: Path, before: str, after: str) -> None:
    """Change one place of a file, as a person does."""
    text = path.read_text()
    assert text.count(before) == 1, f"{before!r} in {path}"
    path.write_text(text.replace(before, after))


def conflicts(project: BakedProject) -> set[str]:
    """Files of which git leaves both versions to the person."""
    return set(project.run("git", "diff", "--name-only", "--diff-filter=U").stdout.split())


def update(project: BakedProject) -> None:
    """Commit what is the person's own, and bring the template's newest version in."""
    git(project.path, "add", "-A")
    git(project.path, "commit", "-qm", "My own")
    assert cruft(project.path, "check").returncode == 1
    done = cruft(project.path, "update", "--skip-apply-ask")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(project.path.rglob("*.rej"))


def assert_of_today(project: BakedProject, fresh: BakedProject, own: set[str]) -> None:
    """Every file is as it would be baked today, but for those that are the person's own."""
    git(project.path, "add", "-A")
    git(project.path, "commit", "-qm", "The template's newest version")
    assert cruft(project.path, "check").returncode == 0
    source = f"src/{project.package}"
    own = {*own, f"{source}/settings.py"}
    assert project.files() - fresh.files() - own == {".cruft.json", f"{source}/mine.py"}
    assert fresh.files() <= project.files()
    names = fresh.files()
    differing = {
        name
        for name in names
        if (fresh.path / name).read_bytes() != (project.path / name).read_bytes()
    }
    assert differing == own & names
    ours = (project.path / source / "settings.py").read_text()
    theirs = (fresh.path / source / "settings.py").read_text()
    assert ours == theirs.replace(*OWN_PATIENCE) != theirs


@pytest.mark.slow
def test_a_project_of_the_first_version_becomes_one_of_today_with_ones_own_edits(
    older: Path, tmp_path: Path, bake: Callable[..., BakedProject], installed: BakedProject
) -> None:
    project = made_by_cruft(older, tmp_path)
    config, contract = project.path / "config.yaml", project.path / "schema.yaml"
    edit(config, "leak_threshold: 0.60", "leak_threshold: 0.65")
    edit(contract, "maximum: 45000", "maximum: 50000")
    commit_what_stands_here(older, "Today")
    update(project)

    # A line of the person's stands beside one that is new: git asks, and asks nothing else.
    assert conflicts(project) == {"config.yaml"}
    both = config.read_text()
    assert re.search(
        r"^<<<<<<< ours\nleak_threshold: 0\.65 .*\n=======\nleak_threshold: 0\.60 ", both, re.M
    )
    config.write_text(
        re.sub(r"<<<<<<< ours\n.*?=======\n(.*?)>>>>>>> theirs\n", r"\1", both, flags=re.DOTALL)
    )
    edit(config, "leak_threshold: 0.60", "leak_threshold: 0.65")

    fresh = bake()
    assert_of_today(project, fresh, {"config.yaml", "schema.yaml"})
    for path, before, after in (
        (config, "leak_threshold: 0.60", "leak_threshold: 0.65"),
        (contract, "maximum: 45000", "maximum: 50000"),
    ):
        assert path.read_text() == (fresh.path / path.name).read_text().replace(before, after)
    done = project.run(installed.python, "-m", project.package, "prepare", PYTHONPATH="src")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_project_of_the_first_version_with_ones_own_data_keeps_its_contract(
    older: Path, tmp_path: Path, bake: Callable[..., BakedProject], installed: BakedProject
) -> None:
    project = made_by_cruft(older, tmp_path)
    own = {"config.yaml": ROOMS_CONFIG, "schema.yaml": ROOMS_CONTRACT}
    own["rooms.csv"] = "area,floor,warm\n" + "".join(
        f"{number % 17},{'ground' if number % 3 else 'first'},{'yes' if number % 2 else 'no'}\n"
        for number in range(90)
    )
    for name, text in own.items():
        (project.path / name).write_text(text)
    commit_what_stands_here(older, "Today")
    update(project)

    assert conflicts(project) == {"config.yaml", "schema.yaml"}
    page = (ROOT / "docs/updates.md").read_text()
    (command,) = re.findall(r"^git checkout --ours .*$", page, re.MULTILINE)
    assert project.run(*command.split()).returncode == 0

    assert_of_today(project, bake(), set(own))
    for name, text in own.items():
        assert (project.path / name).read_text() == text
    done = project.run(installed.python, "-m", project.package, "prepare", PYTHONPATH="src")
    assert done.returncode == 0, done.stderr
    assert "90 rows" in done.stdout + done.stderr
