"""What make passes on to the commands that rent machines: a word for no means no."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from conftest import needs

from engine.support import TEMPLATE

pytestmark = needs(shutil.which("make"), "make is not installed")


def dry_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Return what make prints that would run a target."""
    # The tests may have been started by make, too.
    outside = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    given = ["make", "--dry-run", *arguments]
    return subprocess.run(given, cwd=TEMPLATE, env=outside, capture_output=True, text=True)


def command(*arguments: str) -> list[str]:
    """Return the words of the command that make would run."""
    done = dry_run(*arguments)
    assert done.returncode == 0, done.stderr
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


# Each option that is a yes or a no, with targets that have it.
SWITCHES = {
    "ALL": ["cloud-stop", "cloud-sweep"],
    "CHECK": ["pages"],
    "DEMO": ["data"],
    "DETACH": ["train ON=aws"],
    "DOWN": ["deploy"],
    "DRY": ["train ON=aws", "cloud-sweep", "deploy", "push"],
    "FETCH": ["deploy"],
    "FRESH": ["train", "data"],
    "LIVE": ["pages"],
    "PROXY": ["deploy"],
    "PUBLIC": ["deploy", "push"],
    "ROLLBACK": ["deploy"],
    "SHARE": ["data"],
    "SHOT": ["report"],
    "SPOT": ["train ON=aws", "doctor"],
    "STATUS": ["deploy"],
    "V": ["train", "help"],
    "YES": ["train ON=aws", "cloud-sweep", "cloud-destroy"],
}


@pytest.mark.parametrize("option", SWITCHES)
def test_what_is_neither_yes_nor_no_is_refused_in_a_line(option: str) -> None:
    for target in SWITCHES[option]:
        for value in ("maybe", "yes please", "yes no"):
            done = dry_run(*target.split(), f"{option}={value}")
            assert done.returncode == 2
            (line,) = done.stderr.splitlines()
            assert f"*** {option}={value} should be yes or no" in line
        plain, no = (dry_run(*target.split(), *more).stdout for more in ((), (f"{option}=no",)))
        yes = dry_run(*target.split(), f"{option}=on").stdout
        assert yes != no
        if option not in ("LIVE", "SHARE", "SPOT"):  # these have a third meaning: left open
            assert no.split() == plain.split()


def test_no_switch_is_left_out_of_the_test_above() -> None:
    makefile = (TEMPLATE / "Makefile").read_text()
    assert set(re.findall(r"call yes,([A-Z]+)\)", makefile)) == {*SWITCHES}
    # An option that is passed on without a value is a switch.
    bare = re.findall(r"\$\(if \$\(([A-Z]+)\),--[a-z-]+\)", makefile)
    assert bare == []
