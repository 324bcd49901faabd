"""Updating a baked project when the template has moved on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, BakedProject, clean_environment

CRUFT = Path(sys.executable).with_name("cruft")


def git(folder: Path, *arguments: str) -> None:
    """Run git."""
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def cruft(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run cruft."""
    return subprocess.run(
        [CRUFT, *arguments], cwd=folder, capture_output=True, text=True, env=clean_environment()
    )


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A repository that holds the template as it stands here, with one commit."""
    path = tmp_path / "template"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes((ROOT / name).read_bytes())
    git(path, "init", "-q", "-b", "main")
    git(path, "add", "-A")
    git(path, "commit", "-qm", "Older version")
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
    config.write_text(config.read_text().replace("too_good: 0.60", "too_good: 0.65"))
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
    assert "too_good: 0.65" in config.read_text()
    assert "\nseed: 1\n" in config.read_text()
    assert "maximum: 50000" in contract.read_text()
    assert (project.path / "NOTE.md").is_file()
    updated = project.path / "src" / project.package / "card.py"
    assert "# Card of the model: " in updated.read_text()
    assert cruft(project.path, "check").returncode == 0

    tests = ["tests/test_contract.py", "tests/test_validation.py", "tests/test_splitting.py"]
    done = project.run(installed.python, "-m", "pytest", "-q", *tests, PYTHONPATH="src")
    assert done.returncode == 0, done.stdout
