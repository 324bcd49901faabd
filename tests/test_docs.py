"""The template's own pages: they are built, their links lead somewhere, and what they say is so."""

from __future__ import annotations

import io
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, clean_environment, kept, lack
from pydantic import BaseModel

import coldstart
from coldstart.config import Settings

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "infra/platform/README.md"]


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder."""
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=clean_environment(), capture_output=True, text=True
    )


def git(*arguments: str) -> bytes:
    """What git says of this repository."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of this repository to spoil, with its environment."""
    for path in kept():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    return tmp_path


def test_make_docs_makes_a_page_of_each_file() -> None:
    done = make(ROOT, "docs")
    assert done.returncode == 0, done.stderr
    index = (ROOT / ".docs/index.html").read_text()
    menu = (ROOT / ".docs/README.html").read_text()
    assert "README.html" in index
    for page in PAGES:
        built = (ROOT / ".docs" / page.relative_to(ROOT)).with_suffix(".html")
        assert "<h1>" in built.read_text(), page
        if page.name != "README.md":
            assert f'href="{built.relative_to(ROOT / ".docs")}"' in menu, f"no way leads to {page}"
    reference = (ROOT / ".docs/docs/reference/api.html").read_text()
    shown = set(re.findall(r'id="(coldstart\.[\w.]+)"', reference))
    elsewhere = {"coldstart.BundlePredictor", "coldstart.Contract", "coldstart.Dataset"}
    elsewhere |= {"coldstart.Settings"}  # under the names of their own packages
    assert public_names() - elsewhere <= shown, "not in docs/reference/api.md"


def public_names() -> set[str]:
    """Each public name of the engine, with its package."""
    found = pkgutil.walk_packages(coldstart.__path__, "coldstart.")
    packages = ["coldstart", *(one.name for one in found if one.ispkg and "._" not in one.name)]
    return {
        f"{package}.{name}"
        for package in packages
        for name in getattr(import_module(package), "__all__", [])
    }


def test_a_link_that_leads_nowhere_is_an_error(copied: Path) -> None:
    for folder in ("", "docs/**/", "infra/platform/"):
        for page in copied.glob(f"{folder}*.md"):
            page.unlink()  # all of them take a minute to build
    (copied / "docs/_toc.yml").write_text("root: README\n")
    (copied / "README.md").write_text("# Some title\n\nSome text.\n")
    done = make(copied, "docs")
    assert done.returncode == 0, done.stderr
    (copied / "README.md").write_text("# Some title\n\nSee [there](nowhere.md).\n")
    done = make(copied, "docs")
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr, done.stdout + done.stderr


def test_the_readme_shows_a_picture_at_once_that_is_light() -> None:
    page = (ROOT / "README.md").read_text()
    shown = re.search(r"^!\[(.*?)\]\((.*?)\)", page.partition("\n## ")[0], re.M | re.S)
    assert shown
    picture = (ROOT / shown[2]).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 250_000
    assert shown[1], "the picture has no description"
    assert re.search(r"^picture:.*" + shown[2], (ROOT / "Makefile").read_text(), re.M)


def test_a_term_that_is_not_to_be_used_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    wrong = {"limb": "sub-package", "teh": "the"}  # codespell:ignore
    for text, right in wrong.items():
        page.write_text(text)
        codespell = [sys.executable, "-m", "codespell_lib", str(page)]
        done = subprocess.run(codespell, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode != 0
        assert f"{text} ==> {right}" in done.stdout


# The map of the code, in CONTRIBUTING.md.


def named_in_the_map() -> Iterator[tuple[Path, list[str]]]:
    """Each folder that the map shows, with the names in its table's first column."""
    page = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Map of the code\n")[2]
    for folder, table in re.findall(r"^### [^\n]*: `([^\n]*)`\n(.*?)(?=^#|\Z)", page, re.M | re.S):
        cells = re.findall(r"^\| (`.*?) \|", table, re.M)
        yield ROOT / folder, [name for cell in cells for name in re.findall("`(.*?)`", cell)]


def test_the_map_names_what_is_there_and_nothing_else() -> None:
    shown = dict(named_in_the_map())
    assert {folder.name for folder in shown} >= {"{{cookiecutter.__package}}", "coldstart"}
    for folder, names in shown.items():
        inside = {path.relative_to(folder).parts[0] for path in kept(folder)}
        inside = {re.sub(r"\{% if .*? %\}(.*)\{% endif %\}", r"\1", name) for name in inside}
        assert len(names) == len(set(names)), f"a name stands twice in the map of {folder}"
        assert set(names) == inside, f"the map of {folder}, beside what is there"


def test_each_file_and_command_that_contributing_names_exists() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    folders = [folder for folder, _ in named_in_the_map()] + [ROOT / "infra", ROOT / "tests"]
    for name in re.findall(r"`([\w./-]+(?:/|\.(?:py|md|sh|toml|yaml|mk|txt)))`", page):
        assert any(
            (folder / name).exists() or any(folder.glob(f"*/{name}")) for folder in folders
        ), name
    named = set(re.findall(r"(?:^|`|&& )make ([a-z-]+)", page, re.M))
    assert "setup" in named
    assert named <= targets(ROOT), named - targets(ROOT)


def targets(root: Path) -> set[str]:
    """The commands of make in the template's folder, and in the project that it generates."""
    project = root / "{{cookiecutter.project_slug}}"
    # Versions before 1.0.0 had parts of a Makefile in folders of the source.
    files = [root / "Makefile", project / "Makefile", *project.glob("src/*/*/*/targets.mk")]
    text = "".join(path.read_text() for path in files)
    return set(re.findall(r"^([a-z-]+):.*## ", text, re.M))


# The reference.


def test_the_reference_lists_each_command_of_a_project() -> None:
    page = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    makefile = (ROOT / "{{cookiecutter.project_slug}}/Makefile").read_text(encoding="utf-8")
    offered = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))
    assert set(re.findall(r"^\| `make ([a-z-]+)", page, re.M)) == offered


def test_the_reference_lists_each_setting_with_its_default() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([\w.]+)` \| .*? \| (.*?) \| ", page, re.M))
    defaults = dict(settings_of(Settings))
    assert set(listed) == set(defaults)
    for name, default in defaults.items():
        text = json.dumps(default) if isinstance(default, bool | list) else str(default)
        shown = "" if default in (None, "", [], {}) else f"`{text}`"
        assert listed[name].strip() == ("required" if default is ... else shown), name


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings of a model and of its sections, with their defaults."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_of(kind, f"{prefix}{name}.")
        else:
            required = field.is_required()
            yield prefix + name, ... if required else field.get_default(call_default_factory=True)


# The changelog.


def versions() -> list[tuple[str, str, str, str]]:
    """Number, date, commit and text of each version, newest first."""
    page = (ROOT / "CHANGELOG.md").read_text()
    found: list[tuple[str, str, str, str]] = re.findall(
        r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)\n\nCommit `([0-9a-f]+)`: (.*?)(?=^## |\Z)",
        page,
        re.M | re.S,
    )
    assert len(found) == len(re.findall(r"^## \d", page, re.M)) > 1, "a heading of another form"
    return found


def test_versions_are_in_order_and_the_newest_is_the_projects() -> None:
    numbers = [tuple(map(int, number.split("."))) for number, *_ in versions()]
    assert numbers == sorted(set(numbers), reverse=True)
    assert [date for _, date, *_ in versions()] == sorted(
        (date for _, date, *_ in versions()), reverse=True
    )
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert about["version"] == versions()[0][0]
    page = (ROOT / "CHANGELOG.md").read_text()
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)", page, re.M)) <= kinds


@pytest.fixture
def as_of(tmp_path: Path) -> Callable[[str], set[str]]:
    """`as_of(commit)`: the commands of make in a commit, here and in a generated project."""
    commits = [commit for _, _, commit, _ in versions()]
    if any(subprocess.run(["git", "cat-file", "-e", one], cwd=ROOT).returncode for one in commits):
        lack("the history is not here: git fetch --unshallow")

    def offered(commit: str) -> set[str]:
        folder = tmp_path / commit
        with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as kept:
            kept.extractall(folder, filter="data")
        return targets(folder)

    return offered


def test_what_is_not_released_names_commands_that_are_there() -> None:
    page = (ROOT / "CHANGELOG.md").read_text()
    assert page.count("\n## Unreleased\n") == 1
    text = page.partition("\n## Unreleased\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets(ROOT)


def test_each_version_has_the_commands_that_it_says_it_added(
    as_of: Callable[[str], set[str]],
) -> None:
    offered = {commit: as_of(commit) for _, _, commit, _ in versions()}
    for _, date, commit, text in versions():
        git("merge-base", "--is-ancestor", commit, "HEAD")
        assert git("log", "-1", "--format=%cs", commit).decode().strip() == date, commit
        named = set(re.findall(r"`make ([a-z-]+)", text))
        assert named <= offered[commit], (commit, named - offered[commit])
    for (_, _, newer, text), (_, _, older, _) in pairwise(versions()):
        new = offered[newer] - offered[older]
        told = set(re.findall(r"`make ([a-z-]+)", text))
        assert new <= told, f"{newer} says nothing of {new - told}"
