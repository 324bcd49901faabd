"""docs/tutorial/your-own-data.md, followed to the letter."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT, clean_environment, free_port, wait_for
from overlay import make_environment

PAGE = ROOT / "docs/tutorial/your-own-data.md"
# Of the models that the page trains, one that is quick: others train all of them.
QUICK = {"LATE_REPAIRS_MODELS": '["tree"]'}
BOX = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Reader:
    """Does what the page says, from the folder that holds this repository."""

    folder: Path
    port: int
    printed: str = ""
    server: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment of a terminal with cookiecutter, where a free port is 8000."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return clean_environment() | {"PATH": path, "PORT": str(self.port)} | QUICK

    def sh(self, box: str) -> None:
        """Run commands in a shell, which stays in the folder that they went to."""
        box = box.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        if "make serve" in box:
            with (self.folder.parent / "serve.log").open("wb") as log:
                self.server = subprocess.Popen(
                    ["bash", "-ec", box],
                    cwd=self.where(),
                    env=self.environment(),
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            wait_for(f"http://127.0.0.1:{self.port}/health/ready", self.server, 60)
            return
        done = subprocess.run(
            ["bash", "-ec", f"{box}\npwd > {self.folder.parent / 'where'}"],
            cwd=self.where(),
            env=self.environment(),
            capture_output=True,
            text=True,
        )
        self.printed = done.stdout + done.stderr
        assert done.returncode == 0, box + self.printed
        project = self.where()
        if (project / "infra/environment.py").exists() and not (project / ".venv").exists():
            make_environment(project)

    def text(self, box: str) -> None:
        """Compare what was printed with the page: its parts of lines, in their order."""
        rest = blurred(self.printed)
        for line in box.splitlines():
            assert blurred(line) in rest, f"{line!r} is not in\n{self.printed}"
            rest = rest.partition(blurred(line))[2]

    def python(self, box: str) -> None:
        """Save the script."""
        (self.folder / "workshop.py").write_text(box, encoding="utf-8")

    def diff(self, box: str) -> None:
        """Change the contract."""
        before = "".join(line[1:] for line in box.splitlines(True) if line[0] != "+")
        after = "".join(line[1:] for line in box.splitlines(True) if line[0] != "-")
        contract = self.where() / "schema.yaml"
        text = contract.read_text(encoding="utf-8")
        assert text.count(before) == 1, text
        contract.write_text(text.replace(before, after), encoding="utf-8")

    def where(self) -> Path:
        """Return the folder that the terminal is in."""
        told = self.folder.parent / "where"
        return Path(told.read_text().strip()) if told.exists() else self.folder


def blurred(text: str) -> str:
    """Return a text without what differs between machines: decimals, and runs of spaces."""
    return " ".join(re.sub(r"\d+\.\d+", "#", text).split())


def test_each_of_the_seven_steps_has_one_idea() -> None:
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    steps = [section for section in sections if section[0].isdigit()]
    assert [step.partition(".")[0] for step in steps] == list("1234567")
    for step in steps:
        assert step.count("**The idea: ") == 1, step
        assert BOX.search(step), step


@pytest.mark.slow
@pytest.mark.weekly
def test_the_page_leads_from_the_demo_to_a_model_on_own_data(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "folder", free_port())
    (reader.folder / "bin").mkdir(parents=True)
    (reader.folder / "coldstart").symlink_to(ROOT)
    (reader.folder / "bin/cookiecutter").symlink_to(Path(sys.executable).parent / "cookiecutter")
    try:
        for kind, box in BOX.findall(PAGE.read_text(encoding="utf-8")):
            getattr(reader, kind)(box)
    finally:
        if reader.server:
            os.killpg(reader.server.pid, signal.SIGTERM)
            reader.server.wait(timeout=30)

    # The card is about repairs, and neither leak is a feature.
    project = reader.where()
    assert project == reader.folder / "late-repairs"
    card = (project / "bundles/champion/MODEL_CARD.md").read_text(encoding="utf-8")
    contract = (project / "bundles/champion/schema.yaml").read_text(encoding="utf-8")
    assert "late" in card
    for leak in ("voucher", "rating"):
        assert re.search(rf"^  {leak}:\n(    .*\n)*?    role: ignore$", contract, re.MULTILINE)
    page = (project / "README.md").read_text(encoding="utf-8")
    assert "The target is `late`" in page
    assert "bird" not in page.lower()
