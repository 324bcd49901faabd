"""Updating a generated project when the template has moved on."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, GeneratedProject, lack
from overlay import make_environment
from test_ways import commit_what_stands_here, run, tool

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs/how-to/update.md"
OLDER = "e3309ff164c38bd05862ed990aba2c10fd214a0c"
"""The last version that copied all code into the project."""


def made_by_cruft(template: Path, folder: Path) -> GeneratedProject:
    """Generate a project as docs/how-to/update.md does."""
    run(folder, tool("cruft"), "create", template, "--no-input")
    project = GeneratedProject(folder / "bird-strikes")
    commit(project, "Made by cruft")
    return project


def commit(project: GeneratedProject, message: str) -> None:
    """Commit what stands in a project."""
    assert project.run("git", "add", "--all").returncode == 0
    assert project.run("git", "commit", "--quiet", "-m", message).returncode == 0


def edit(path: Path, before: str, after: str) -> None:
    """Change one place of a file."""
    text = path.read_text()
    assert text.count(before) == 1, f"{before!r} in {path}"
    path.write_text(text.replace(before, after))


def conflicts(project: GeneratedProject) -> set[str]:
    """Return the files that hold both versions of a change."""
    return set(project.run("git", "diff", "--name-only", "--diff-filter=U").stdout.split())


def update(project: GeneratedProject) -> None:
    """Bring the template's newest version in."""
    assert project.run(tool("cruft"), "check").returncode == 1
    done = project.run(tool("cruft"), "update", "--skip-apply-ask")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(project.path.rglob("*.rej"))


def assert_prepares(project: GeneratedProject) -> str:
    """Read, validate and split the project's data with its own code, and return the output."""
    shutil.rmtree(project.path / ".venv", ignore_errors=True)
    make_environment(project.path)
    done = project.command("prepare")
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_an_update_brings_the_templates_changes_and_keeps_ones_own(tmp_path: Path) -> None:
    template = tmp_path / "template"
    run(tmp_path, "git", "init", "--quiet", "--initial-branch", "main", template)
    commit_what_stands_here(template, "Older version")
    project = made_by_cruft(template, tmp_path)
    assert project.run(tool("cruft"), "check").returncode == 0

    # The person edits files of their own and one of the engine, ...
    config, contract = project.path / "config.yaml", project.path / "schema.yaml"
    edit(config, "leak_threshold: 0.60", "leak_threshold: 0.65")
    edit(contract, "maximum: 45000", "maximum: 50000")
    engine = "vendor/coldstart/src/coldstart/model_card/__init__.py"
    with (project.path / engine).open("a") as file:
        file.write("\n# One's own.\n")
    commit(project, "My own")
    # ... and the template changes the same and others.
    source = template / "{{cookiecutter.project_slug}}"
    edit(source / "config.yaml", "\ndata:\n", "\nseed: 1\n\ndata:\n")
    text = (source / engine).read_text()
    (source / engine).write_text(f"# The template's.\n{text}")
    (source / "NOTE.md").write_text("A new file.\n")
    run(tmp_path, "git", "-C", template, "add", "--all")
    run(tmp_path, "git", "-C", template, "commit", "--quiet", "-m", "Newer version")

    update(project)
    assert not conflicts(project)
    assert "leak_threshold: 0.65" in config.read_text()
    assert "\nseed: 1\n" in config.read_text()
    assert "maximum: 50000" in contract.read_text()
    assert (project.path / "NOTE.md").is_file()
    merged = (project.path / engine).read_text()
    assert merged.startswith("# The template's.\n")
    assert merged.endswith("# One's own.\n")
    assert project.run(tool("cruft"), "check").returncode == 0
    assert_prepares(project)


def test_a_project_that_held_all_code_becomes_one_of_today_with_ones_own_edits(
    tmp_path: Path,
) -> None:
    template = tmp_path / "template"
    run(tmp_path, "git", "clone", "--quiet", ROOT, template)
    if subprocess.run(["git", "cat-file", "-e", OLDER], cwd=template).returncode:
        lack("the older version is not in this clone: git fetch --unshallow")
    run(template, "git", "checkout", "--quiet", "-B", "main", OLDER)
    project = made_by_cruft(template, tmp_path)
    config, contract = project.path / "config.yaml", project.path / "schema.yaml"
    source = project.path / "src" / project.package
    edit(config, "too_good: 0.60", "too_good: 0.65")
    edit(contract, "maximum: 45000", "maximum: 50000")
    edit(source / "models.py", '"n_estimators": 100,', '"n_estimators": 444,')
    edit(source / "settings.py", "patience: int = Field(3,", "patience: int = Field(5,")
    (source / "mine.py").write_text('"""A module of one\'s own."""\n')
    commit(project, "My own")
    commit_what_stands_here(template, "Today")

    # As the page says: take back what is the engine's now.
    block = re.search(r"```sh\n(made=.*?)cruft update\n```", PAGE.read_text(), re.DOTALL)
    assert block
    done = project.run("bash", "-ec", block[1])
    assert done.returncode == 0, done.stderr
    assert "Field(5," in (tmp_path / "mine.patch").read_text()
    update(project)

    # A renamed setting stands beside the person's value; git asks about nothing else.
    assert conflicts(project) == {"config.yaml"}
    both = re.compile(
        r"<<<<<<< ours\n(too_good: 0\.65.*\n)=======\n(.*?)>>>>>>> theirs\n", re.DOTALL
    )
    text = config.read_text()
    assert both.search(text)
    config.write_text(both.sub(r"\2", text))
    edit(config, "leak_threshold: 0.60", "leak_threshold: 0.65")
    assert "maximum: 50000" in contract.read_text()
    assert '"n_estimators": 444,' in (source / "models.py").read_text()
    commit(project, "The template's newest version")
    assert project.run(tool("cruft"), "check").returncode == 0
    names = {path.name for path in source.iterdir()} - {"__pycache__"}
    template_source = template / "{{cookiecutter.project_slug}}/src/{{cookiecutter.__package}}"
    assert names == {path.name for path in template_source.iterdir()} | {"mine.py"}
    assert "19,302 rows" in assert_prepares(project)
