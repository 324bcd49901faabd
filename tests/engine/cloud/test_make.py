"""What make passes on to the commands that rent machines: a word for no means no."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from conftest import needs

from engine.support import TEMPLATE

pytestmark = needs(shutil.which("make"), "make is not installed")


def command(*arguments: str) -> list[str]:
    """Return the words of the command that make would run."""
    # The tests may have been started by make, too.
    outside = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "--dry-run", *arguments],
        cwd=TEMPLATE,
        env=outside,
        capture_output=True,
        text=True,
        check=True,
    )
    line = done.stdout.splitlines()[-1]
    return line.partition("__package}} ")[2].split()


@pytest.mark.parametrize("no", ["no", "No", "NO", "n", "0", "false", "False", ""])
def test_a_word_for_no_starts_ends_and_removes_nothing_unasked(no: str) -> None:
    for target in ("train ON=aws", "cloud-sweep", "cloud-destroy"):
        words = command(*target.split(), f"YES={no}", f"DRY={no}", f"DETACH={no}")
        assert not {"--yes", "--dry-run", "--detach"} & set(words)
    assert command("cloud-stop", f"ALL={no}") == ["cloud-stop"]
    assert command("cloud-sweep", f"ALL={no}") == ["cloud-sweep"]


def test_spot_may_be_left_open_wanted_or_refused() -> None:
    for given, option in (("", ""), ("SPOT=yes", "--spot"), ("SPOT=1", "--spot"),
                          ("SPOT=no", "--no-spot"), ("SPOT=0", "--no-spot")):  # fmt: skip
        found = {word for word in command("train", "ON=aws", *given.split()) if "spot" in word}
        assert found == ({option} if option else set())


@pytest.mark.parametrize("yes", ["yes", "1", "true"])
def test_a_word_for_yes_is_passed_on(yes: str) -> None:
    assert "--yes" in command("train", "ON=aws", f"YES={yes}")
    assert command("cloud-stop", f"ALL={yes}") == ["cloud-stop", "--all"]
    words = command("cloud-sweep", f"ALL={yes}", f"DRY={yes}")
    assert words == ["cloud-sweep", "--everything", "--dry-run"]
