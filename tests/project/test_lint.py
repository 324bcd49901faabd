"""Lint and types of whatever is baked, and what is left of it when a limb is gone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import COMBINATIONS, BakedProject

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy knows from one time to the next."""
    return tmp_path_factory.mktemp("types")


@pytest.mark.parametrize("answers", COMBINATIONS.values(), ids=COMBINATIONS.keys())
def test_every_combination_passes_its_own_lint_and_types(
    answers: dict[str, str], bake: Callable[..., BakedProject], installed: BakedProject, types: Path
) -> None:
    project = bake(**answers)
    tools = installed.path / ".venv" / "bin"
    for command in (
        [tools / "ruff", "check", "."],
        [tools / "ruff", "format", "--check", "."],
        [tools / "mypy", "--cache-dir", types],
    ):
        done = project.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr


def test_deleting_any_limb_breaks_nothing_else(copied: BakedProject, types: Path) -> None:
    folder = copied.path / "src" / copied.package / "limbs"
    limbs = [path for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert limbs
    tests = ["tests/test_commands.py", "tests/test_contract.py", "tests/test_registry.py"]

    def commands() -> tuple[set[str], set[str]]:
        """Names of the package's commands and of make's targets."""
        listed = copied.command("--help", PYTHONPATH="src").stdout.splitlines()[2:]
        targets = re.findall(r"^make ([a-z-]+)", copied.make("help", "V=1").stdout, re.MULTILINE)
        return {line.split()[0] for line in listed}, set(targets)

    whole = commands()
    for limb in limbs:
        aside = copied.path.parent / limb.name
        aside.mkdir()
        for gone in (limb, *standing_on(limb)):
            shutil.move(gone, aside)
        left = zip(commands(), whole, strict=True)
        if any(aside.glob("*/commands.py")):  # else it brings routes
            assert all(less < more for less, more in left)
        else:
            assert all(less == more for less, more in left)
        done = copied.run(copied.python, "-m", "pytest", "-q", *tests, PYTHONPATH="src")
        assert done.returncode == 0, done.stdout
        done = copied.run(copied.path / ".venv/bin/mypy", "--cache-dir", types)
        assert done.returncode == 0, done.stdout
        for gone in aside.iterdir():
            shutil.move(gone, folder)
        aside.rmdir()


def standing_on(limb: Path) -> list[Path]:
    """Other limbs that import a limb, or one that does, as their pages say; they go with it."""
    others = [path for path in limb.parent.iterdir() if path.is_dir()]
    gone = [limb]
    for one in gone:  # it grows
        uses = re.compile(rf"^\s*from \.+{one.name}[. ]", re.MULTILINE)
        gone += [
            other
            for other in others
            if other not in gone
            and any(uses.search(path.read_text()) for path in other.rglob("*.py"))
        ]
    return gone[1:]
