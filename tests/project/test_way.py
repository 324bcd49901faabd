"""The way in, as in the README: from nothing to the first prediction."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

MOST = 3
"""Commands that it may take."""

ASKED = ("project_name", "project_slug", "description", "author", "license")
# What a machine has to reach a network by, and caches of packages: not what is tried here.
NETWORK = re.compile(r"(?i)(https?|all|no)_proxy|ssl_|pip_|uv_|\w+_ca_bundle")
# The fixture `trained` trains all six.
TWO = {"BIRD_STRIKES_MODELS": '["linear", "tree"]'}


@pytest.fixture(scope="module")
def way() -> list[str]:
    """The README's commands: a block's lines, without what they are said to do."""
    first_screen = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## ")[0]
    block = re.search(r"^```\n(.*?)^```", first_screen, re.MULTILINE | re.DOTALL)
    assert block
    return [line.split("#")[0].strip() for line in block[1].splitlines()]


def test_each_question_has_an_answer_and_is_put_in_words() -> None:
    answers = json.loads((ROOT / "cookiecutter.json").read_text())
    assert tuple(name for name in answers if not name.startswith("_")) == ASKED
    for name in ASKED:
        assert answers[name]
        prompt = answers["__prompts__"][name]
        words = prompt["__prompt__"] if isinstance(prompt, dict) else prompt
        assert " " in words
        assert "slug" not in words.lower()


@pytest.mark.slow
def test_three_commands_lead_from_nothing_to_a_prediction(way: list[str], tmp_path: Path) -> None:
    """Go the way in an empty home: no settings, no name in git, only Enter for an answer."""
    assert len(way) <= MOST
    home, tools = tmp_path / "home", tmp_path / "tools"
    home.mkdir()
    tools.mkdir()
    uv = Path(sys.executable).with_name("uv")
    python = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    for name, program in (("uv", uv), ("uvx", uv.with_name("uvx")), ("python3", python)):
        (tools / name).symlink_to(program)
    cache = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, check=True).stdout
    environment = {name: value for name, value in os.environ.items() if NETWORK.match(name)}
    environment |= {"HOME": str(home), "PATH": f"{tools}:/usr/bin:/bin", "LANG": "C.UTF-8"}
    environment |= TWO | {"UV_CACHE_DIR": cache.strip(), "UV_SYSTEM_CERTS": "1"}
    for settings in map(Path.expanduser, (Path("~/.config/pip/pip.conf"), Path("~/.pip/pip.conf"))):
        if settings.exists():
            environment.setdefault("PIP_CONFIG_FILE", str(settings))

    script = "\n".join(["set -e", *way]).replace("ADDRESS", str(ROOT))
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=home,
        env=environment,
        input="\n" * len(ASKED),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    request, prediction, _ = done.stdout.splitlines()[-3:]
    row = json.loads(request.removeprefix("request: "))
    assert row["phase_of_flt"] == "Climb"
    assert re.fullmatch(
        r"\w+, version \d+: effect is (true|false) \(probability 0\.\d+\)", prediction
    )
    # Each command says which is next.
    steps = [way[1], way[2]]
    printed = done.stdout.partition("data: 19,302 rows")[0]
    assert all(step in printed for step in steps)
