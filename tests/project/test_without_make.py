"""A generated project without make, as docs/how-to/run-without-make.md describes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, GeneratedProject, ask, clean_environment, free_port, wait_for
from test_help import recipes

PAGE = ROOT / "docs/how-to/run-without-make.md"
WINDOWS = ".venv\\Scripts\\"


@pytest.fixture(scope="module")
def project(generate: Callable[..., GeneratedProject]) -> GeneratedProject:
    """A generated project that is not installed."""
    return generate()


def page(project: GeneratedProject) -> str:
    """Return the page, for a project of this name."""
    return PAGE.read_text().replace("my_project", project.package)


def here(command: str) -> list[str]:
    """Return the words of a command of the page, as they are on this system."""
    return shlex.split(command.replace(WINDOWS, ".venv/bin/").replace("\\", "/"))


def test_each_target_is_there_with_the_command_that_make_would_run(
    project: GeneratedProject,
) -> None:
    rows = re.findall(r"^\| `make (.*?)` \| (.*) \|$", page(project), re.MULTILINE)
    assert {asked.split()[0] for asked, _ in rows} == set(recipes(project))
    for asked, cell in rows:
        if asked == "help":
            continue
        commands = [here(command) for command in re.findall("`(.*?)`", cell)]
        dry = project.make("--dry-run", *shlex.split(asked)).stdout.replace("\\\n", "")
        made = [
            shlex.split(re.sub(r"^[A-Z_]+=\w+ ", "", part.strip()))
            for line in dry.splitlines()
            for part in re.split("&&|;", line)
        ]
        environment = ["python3", "infra/environment.py"], ["touch", ".venv/ready"]
        if asked == "setup":
            assert commands == [["py", *environment[0][1:]]]
            assert made == list(environment)
            continue
        run = [".venv/bin/python", "-m", project.package]
        made = [line[3:] if line[:3] == run else line for line in made if line not in environment]
        assert commands == made, asked


@pytest.mark.slow
@pytest.mark.weekly
def test_from_nothing_to_a_served_prediction_by_the_packages_commands(
    copied: GeneratedProject, tmp_path: Path
) -> None:
    project = copied
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "git").symlink_to(str(shutil.which("git")))
    assert shutil.which("make", path=str(tools)) is None
    port = free_port()
    environment = clean_environment() | {
        "PATH": str(tools),
        f"{project.package.upper()}_SERVING__PORT": str(port),
    }
    rows = "phase_of_flt,height,speed,birds_struck\nClimb,500,140,11-100\nLanding Roll,0,60,1\n"
    (project.path / "rows.csv").write_text(rows)

    block, *_ = re.findall(r"^```\n(.*?)^```", page(project), re.MULTILINE | re.DOTALL)
    *steps, last = [here(line) for line in block.splitlines()]
    assert steps.pop(0) == ["py", "infra/environment.py"]  # test_installing.py makes such ones
    said = {}
    for command in steps:
        done = subprocess.run(
            command, cwd=project.path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stdout + done.stderr)
        said[" ".join(command[3:])] = done.stdout
    champion = json.loads((project.path / "bundles/champion/bundle.json").read_text())
    assert champion["family"] == "linear"
    assert "tree, version 1: effect is " in said["predict"]
    written = (project.path / "answers.csv").read_text().splitlines()
    column = written[0].split(",").index("label")

    assert last[-1] == "serve"
    server = subprocess.Popen(last, cwd=project.path, env=environment)
    try:
        wait_for(f"http://127.0.0.1:{port}/health/ready", server, 60)
        row = {"phase_of_flt": "Climb", "height": 500, "speed": 140, "birds_struck": "11-100"}
        answer = ask(f"http://127.0.0.1:{port}/predict", {"rows": [row]})
        assert answer["predictions"][0]["label"] == written[1].split(",")[column]
    finally:
        server.terminate()
        server.wait(timeout=30)
