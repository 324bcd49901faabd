"""Real environments: by uv, by pip, and without a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import GeneratedProject

from coldstart.doctor._pins import read_requirements

pytestmark = pytest.mark.slow

REQUIREMENTS = "vendor/coldstart/src/coldstart/images/_requirements.py"
UV = Path(sys.executable).with_name("uv")


@pytest.fixture
def project(
    generate: Callable[..., GeneratedProject], trained: GeneratedProject
) -> GeneratedProject:
    """A generated project without an environment, with the bundles of the trained one."""
    project = generate()
    shutil.copytree(trained.path / "bundles", project.path / "bundles", symlinks=True)
    return project


def find_links(project: GeneratedProject) -> str:
    """Return where infra/environment.py finds wheels, for uv, which reads no settings of pip."""
    script = (
        "import sys; sys.path.insert(0, 'infra'); import environment; from pathlib import Path; "
        "print(','.join(environment.find_links(Path(sys.executable))))"
    )
    return project.run(sys.executable, "-c", script).stdout.strip()


def pin(project: GeneratedProject) -> None:
    """Have uv take the versions of constraints.txt: what is newest changes from day to day."""
    pins = [str(one) for one in read_requirements((project.path / "constraints.txt").read_text())]
    table = f"\n[tool.uv]\nconstraint-dependencies = {json.dumps(pins)}\n"
    with (project.path / "pyproject.toml").open("a") as file:
        file.write(table)


@pytest.mark.weekly
def test_uv_run_makes_an_environment_that_trains(project: GeneratedProject) -> None:
    pin(project)
    # Where torch's own index cannot be reached, the wheel comes from a folder.
    folders = find_links(project)
    environment = {"UV_SYSTEM_CERTS": "1", "UV_FIND_LINKS": folders}
    if folders:
        environment["UV_NO_SOURCES_PACKAGE"] = "torch"
    listed = project.run(UV, "run", project.path.name, "train", "--help", **environment)
    assert listed.returncode == 0, listed.stderr
    assert "--models" in listed.stdout
    offline = (UV, "run", "--offline")
    predicted = project.run(*offline, project.path.name, "predict", **environment)
    assert "effect is " in predicted.stdout, predicted.stderr
    imported = project.run(
        *offline, "python", "-c", "import mlflow, skl2onnx, torch", **environment
    )
    assert imported.returncode == 0, imported.stderr
    assert "uv.lock" not in project.files()


def test_pip_installs_what_serving_needs(project: GeneratedProject) -> None:
    subprocess.run([sys.executable, "-m", "venv", project.path / ".venv"], check=True)
    pip = [project.python, "-m", "pip", "install", "--quiet"]
    # pip checks hashes of constraints from 26.1 on, and of folders it knows none.
    listed = project.run(sys.executable, REQUIREMENTS, "serve").stdout
    (project.path / "serve.txt").write_text(listed)
    for step in (
        ("--upgrade", "pip>=26.1"),
        ("--requirement", "serve.txt", "--constraint", "constraints.txt"),
        ("--no-deps", "./vendor/coldstart", "-e", "."),
    ):
        done = project.run(*pip, *step)
        assert done.returncode == 0, done.stderr
    predicted = project.run(project.path / ".venv" / "bin" / project.path.name, "predict")
    assert predicted.returncode == 0, predicted.stderr
    assert "effect is " in predicted.stdout
    code = "import coldstart, importlib.util as u; print(coldstart.__file__, u.find_spec('torch'))"
    where, torch = project.run(project.python, "-c", code).stdout.rsplit(maxsplit=1)
    assert "site-packages" in where
    assert torch == "None"


@pytest.mark.parametrize("package", ["uv", "idna"])
def test_a_file_that_is_not_as_its_hash_says_is_not_installed(
    package: str, generate: Callable[..., GeneratedProject]
) -> None:
    project = generate()
    pins = project.path / "constraints.txt"
    block = re.search(rf"^{package}==.*\n(?: .*\n)+", pins.read_text(), re.MULTILINE)
    assert block, "no hashes are pinned"
    tampered = re.sub(r"sha256:....", "sha256:0000", block.group())
    pins.write_text(pins.read_text().replace(block.group(), tampered))
    done = project.run(sys.executable, "infra/environment.py", ".venv", "idna")
    assert done.returncode == 2
    # pip's words, which installs uv, and uv's.
    refused = {"uv": "DO NOT MATCH THE HASHES", "idna": "Hash mismatch for `idna=="}
    assert refused[package] in done.stderr
    assert "\nerror: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(project.path.glob(f".venv/lib/python3*/site-packages/{package}"))
    pins.write_text(pins.read_text().replace(tampered, block.group()))
    done = project.run(sys.executable, "infra/environment.py", ".venv", "idna")
    assert done.returncode == 0, done.stderr
    assert list(project.path.glob(f".venv/lib/python3*/site-packages/{package}"))


def test_setup_says_what_to_do_when_torchs_index_cannot_be_reached(
    generate: Callable[..., GeneratedProject],
) -> None:
    project = generate()
    unreachable = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_FIND_LINKS": "",
        "UV_FIND_LINKS": "",
        "TORCH": "cpu",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    subprocess.run([sys.executable, "-m", "venv", project.path / ".venv"], check=True)
    uv = Path(sys.executable).with_name("uv")
    install = [str(uv), "pip", "install", "-q", "--python", str(project.python), "uv"]
    subprocess.run(install, check=True, env={**os.environ, "UV_SYSTEM_CERTS": "1"})
    start = time.monotonic()
    done = project.run("make", "setup", **unreachable)
    assert time.monotonic() - start < 60
    assert done.returncode != 0
    assert "could not be installed from torch's own index" in done.stderr
    assert "find-links" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project.path / ".venv" / "ready").exists()
