"""Container images of a generated project: built and run by a real Docker engine.

Sizes are asserted; times are printed, since they belong to the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import GeneratedProject, ask, free_port, lack
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hub import TOKEN, Hub
from packaging.utils import canonicalize_name

from coldstart.doctor._pins import read_requirements
from coldstart.images._building import find_secrets

pytestmark = pytest.mark.slow

BASE = "python:3.13-slim"
TRAINS = "python:3.11-slim"  # for which there is a wheel of torch without CUDA
MIB = 2**20
LOCKED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
HEAVY = ("torch", "sklearn", "pandas", "polars", "mlflow", "pyarrow", "scipy", "matplotlib", "pip")
ROWS = {
    "rows": [
        {"phase_of_flt": "Climb", "height": 500, "speed": 140, "birds_struck": "11-100"},
        {"phase_of_flt": "Landing Roll", "height": 0, "speed": 60, "birds_struck": "1"},
    ]
}


@dataclass(frozen=True)
class Built:
    """The image that serves, as `make image` built it."""

    id: str
    version: str
    secret: str
    """Stands in the settings of pip that it was built with."""


def docker(*arguments: Any) -> str:
    """Return the output of a docker command, which must succeed."""
    command = ["docker", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def inspect(name: str) -> Any:
    """Return what docker knows of an image or a container."""
    return json.loads(docker("inspect", name))[0]


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Skip where no engine responds."""
    found = shutil.which("docker")
    if not found or subprocess.run([found, "version"], capture_output=True).returncode:
        lack("no Docker engine responds; infra/testbed/engine.sh starts one")


@pytest.fixture(scope="session")
def built(trained: GeneratedProject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """`make image` of the trained project, with settings of pip that hold a secret."""
    own = Path("~/.config/pip/pip.conf").expanduser()
    settings = tmp_path_factory.mktemp("pip") / "pip.conf"
    secret = uuid.uuid4().hex
    settings.write_text((own.read_text() if own.is_file() else "[global]\n") + f"\n# {secret}\n")
    done = trained.make("image", PIP_CONFIG_FILE=str(settings))
    building, said, listed = done.stdout.splitlines()[-3:]
    assert re.fullmatch(r"serve\.cdx\.json: its \d+ packages \(CycloneDX\)", listed)
    assert re.fullmatch(r"built bird-strikes:\d+ \(\d+\.\d s\)", building)
    assert "#1 " not in done.stdout + done.stderr  # a build's many steps are for -v
    print(said)
    version = json.loads((trained.path / "bundles/champion/version.json").read_text())["version"]
    assert said.startswith(f"bird-strikes:{version} (and bird-strikes:latest): ")
    assert secret not in done.stdout + done.stderr
    yield Built(inspect("bird-strikes:latest")["Id"], version, secret)
    made = docker("image", "ls", "--quiet", "--no-trunc", "bird-strikes").split()
    docker("image", "rm", "--force", *set(made))


@pytest.fixture
def changed(trained: GeneratedProject, tmp_path: Path) -> GeneratedProject:
    """A copy of the trained project that may be changed."""
    return trained.copy(tmp_path / trained.path.name)


@dataclass(frozen=True)
class Running:
    """A container that responds."""

    name: str
    url: str


@pytest.fixture(scope="module")
def running(built: Built) -> Iterator[Running]:
    """The image, run with the least privileges that it needs."""
    port = free_port()
    start = time.monotonic()
    publish = ("--publish", f"127.0.0.1:{port}:8000")
    name = docker("run", "--detach", "--health-interval", "1s", *LOCKED, *publish, built.id)
    try:
        wait_for(f"http://127.0.0.1:{port}/health/ready")
        print(f"the first response came {time.monotonic() - start:.2f} s after docker run")
        yield Running(name, f"http://127.0.0.1:{port}")
    finally:
        docker("rm", "--force", name)


def wait_for(url: str, seconds: float = 60) -> None:
    """Wait until a server responds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (OSError, urllib.error.URLError):
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"{url} did not respond within {seconds} s")


def python(image: str, script: str) -> Any:
    """Return what a script prints as JSON in a container of the image."""
    options = ("--rm", *LOCKED, "--entrypoint", "python")
    return json.loads(docker("run", *options, image, "-c", script))


def predict(project: GeneratedProject) -> Any:
    """Return the predictions of the project's champion for `ROWS`, made without the API."""
    script = (
        "import json, sys\nfrom pathlib import Path\nfrom coldstart import BundlePredictor\n"
        "from coldstart.contract import register_derived\n"
        f"from {project.package}.features import DERIVED\n"
        "register_derived(DERIVED)\nrows = json.loads(sys.argv[1])['rows']\n"
        "print(json.dumps(BundlePredictor(Path('bundles/champion')).score(rows)))\n"
    )
    done = project.run(project.python, "-c", script, json.dumps(ROWS))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_predicts_as_the_bundle_does_outside(
    trained: GeneratedProject, running: Running
) -> None:
    answer = ask(f"{running.url}/predict", ROWS)
    assert answer["predictions"] == predict(trained)
    assert ask(f"{running.url}/model")["version"] == answer["model_version"]


def test_the_image_that_the_hub_builds_of_a_space_predicts_the_same(
    trained: GeneratedProject, tmp_path: Path
) -> None:
    with contextlib.closing(Hub()) as hub:
        access = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home")}
        trained.make("deploy", "ON=space", **access)
        repository = hub.repositories["spaces", "ann/bird-strikes"]
    for name, content in repository.files.items():
        (tmp_path / "space" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "space" / name).write_bytes(content)
    secrets = [f"--secret=id={key},src={path}" for key, path in find_secrets().items()]
    image, port = "bird-strikes:space", free_port()
    docker("build", "--quiet", "--tag", image, *secrets, tmp_path / "space")
    publish = ("--publish", f"127.0.0.1:{port}:8000")
    name = docker("run", "--detach", "--tmpfs", "/tmp", *LOCKED, *publish, image)
    try:
        wait_for(f"http://127.0.0.1:{port}/health/ready")
        assert ask(f"http://127.0.0.1:{port}/predict", ROWS)["predictions"] == predict(trained)
        assert docker("exec", name, "id", "-u") == "1000"
    finally:
        docker("rm", "--force", name)
        docker("image", "rm", image)


def test_it_runs_as_a_non_root_user_and_becomes_healthy(running: Running) -> None:
    assert docker("exec", running.name, "python", "-c", "import os; print(os.getuid())") != "0"
    for _ in range(60):
        health = inspect(running.name)["State"]["Health"]
        if health["Status"] == "healthy":
            break
        time.sleep(0.5)
    assert health["Status"] == "healthy", health


def test_it_ends_on_sigterm(built: Built) -> None:
    name = docker("run", "--detach", *LOCKED, built.id)
    try:
        for _ in range(600):
            if "API:" in docker("logs", name):
                break
            time.sleep(0.1)
        docker("stop", "--time", "20", name)  # by SIGTERM, and by SIGKILL (137) after these seconds
        assert inspect(name)["State"]["ExitCode"] == 0
    finally:
        docker("rm", "--force", name)


def test_it_holds_what_serving_needs_and_is_small(built: Built) -> None:
    script = (
        "import importlib.util as u, json, os, shutil, sysconfig\n"
        "from pathlib import Path\n"
        "site = Path(sysconfig.get_path('purelib'))\n"
        f"print(json.dumps([[n for n in {HEAVY!r} if (site / n).exists()],"
        " [n for n in ('gcc', 'cc', 'make') if shutil.which(n)],"
        f" [n for n in {HEAVY!r} if n != 'pip' and u.find_spec(n)],"
        " sum(p.lstat().st_size for p in site.rglob('*'))]))\n"
    )
    installed, compilers, importable, size = python(built.id, script)
    assert (installed, compilers, importable) == ([], [], [])
    above = inspect(built.id)["Size"] - inspect(BASE)["Size"]
    print(f"packages {size / 1e6:.0f} MB; {above / MIB:.0f} MiB above the base image")
    assert size <= 190e6
    assert above <= 200 * MIB


def test_its_bill_of_materials_names_its_packages_and_no_others(
    trained: GeneratedProject, built: Built
) -> None:
    text = (trained.path / "serve.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    components = json.loads(text)["components"]
    listed = {one["name"]: one["version"] for one in components if one["type"] == "library"}
    script = (
        "import json, sysconfig; from pathlib import Path\n"
        "folder = Path(sysconfig.get_path('purelib'))\n"
        "print(json.dumps([p.name for p in folder.glob('*.dist-info')]))"
    )
    installed = {canonicalize_name(name.split("-")[0]) for name in python(built.id, script)}
    assert {canonicalize_name(name) for name in listed} == installed
    # A package may have a version for each Python, and the image's is another than this one.
    pins = re.findall(r"^(\S+)==(\S+)", (trained.path / "constraints.txt").read_text(), re.M)
    assert {(canonicalize_name(name), version) for name, version in listed.items()} <= {
        (canonicalize_name(name), version) for name, version in pins
    }
    requirements = "vendor/coldstart/src/coldstart/images/_requirements.py"
    needed = trained.run(sys.executable, requirements, "serve").stdout
    assert {canonicalize_name(one.name) for one in read_requirements(needed)} <= installed


def test_it_runs_python_3_13(built: Built) -> None:
    here = inspect(BASE)["Id"] == inspect(TRAINS)["Id"]
    if here:
        lack(
            "no Python 3.13 is installed, of which infra/testbed/base.sh could make the base image"
        )
    script = "import json, sys; print(json.dumps(sys.version_info[:2]))"
    assert python(built.id, script) == [3, 13]


def test_its_labels_name_the_model_and_the_commit(trained: GeneratedProject, built: Built) -> None:
    labels = inspect(built.id)["Config"]["Labels"]
    commit = trained.run("git", "rev-parse", "HEAD").stdout.strip()
    assert labels["org.opencontainers.image.version"] == built.version
    assert labels["org.opencontainers.image.revision"] == commit


def test_no_layer_holds_settings_data_or_history(built: Built, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    docker("save", "--output", archive, built.id)
    below = len(inspect(BASE)["RootFS"]["Layers"])
    names = set()
    with tarfile.open(archive) as image:
        (manifest,) = json.load(read(image, "manifest.json"))
        assert built.secret.encode() not in read(image, manifest["Config"]).read()
        for layer in manifest["Layers"][below:]:
            with tarfile.open(fileobj=read(image, layer)) as files:
                for member in files:
                    names.add(member.name)
                    if member.isfile():
                        assert built.secret.encode() not in read(files, member.name).read()
    assert "app/bundles/champion/model.onnx" in names
    for kept_out in ("pip.conf", "uv.toml", ".crt", ".git", ".env", ".csv.gz", "mlflow.db"):
        assert not [name for name in names if name.endswith(kept_out)], kept_out
    assert not [name for name in names if name.startswith("app/data")]
    assert not [name for name in names if "/test_" in name and "site-packages" not in name]
    assert built.secret not in docker("history", "--no-trunc", built.id)


def read(archive: tarfile.TarFile, name: str) -> Any:
    """Open a file of an archive."""
    file = archive.extractfile(name)
    assert file is not None, name
    return file


def test_a_change_of_the_code_installs_nothing_again(
    built: Built, changed: GeneratedProject
) -> None:
    engine = changed.path / "vendor/coldstart/src/coldstart/serve/_app.py"
    for path in (changed.path / "src" / changed.package / "app.py", engine):
        with path.open("a") as source:
            source.write(f"\n# {uuid.uuid4()}\n")  # which no engine has cached
    with (changed.path / "pyproject.toml").open("a") as settings:
        settings.write(f"\n# {uuid.uuid4()}\n")
    start = time.monotonic()
    done = changed.command("image", "-v", BUILDKIT_PROGRESS="plain")
    assert done.returncode == 0, done.stderr
    print(f"rebuilt and tested in {time.monotonic() - start:.1f} s")
    steps = dict[str, str]()
    for line in (done.stdout + done.stderr).splitlines():
        number, _, rest = line.partition(" ")
        if rest.startswith("["):
            steps[number] = rest
        elif rest == "CACHED":
            steps[number] += " CACHED"
    installing = [step for step in steps.values() if "pip --python" in step]
    copying = [
        step
        for step in steps.values()
        if "COPY src" in step or "COPY vendor/coldstart/src " in step
    ]
    assert [step.endswith("CACHED") for step in installing] == [True]
    assert len(copying) == 2
    assert not any(step.endswith("CACHED") for step in copying)
    commit = changed.run("git", "rev-parse", "HEAD").stdout.strip()
    labels = inspect("bird-strikes:latest")["Config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == f"{commit}-dirty"


def test_a_file_that_is_not_as_its_hash_says_is_in_no_image(
    built: Built, changed: GeneratedProject
) -> None:
    pins = changed.path / "constraints.txt"
    text = re.sub(
        r"(idna==.* \\\n    --hash=sha256:).*( \\\n    --hash=sha256:).*",
        r"\g<1>00\g<2>11",
        pins.read_text(),
    )
    pins.write_text(text)
    done = changed.command("image")
    assert done.returncode == 2
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_an_image_that_does_not_respond_is_not_tagged_as_the_latest(
    built: Built, changed: GeneratedProject
) -> None:
    latest = inspect("bird-strikes:latest")["Id"]
    app = changed.path / "src" / changed.package / "app.py"
    app.write_text(app.read_text() + "\nraise SystemExit('no luck')\n")
    done = changed.command("image")
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    assert "does not respond; its last output: no luck" in line
    assert inspect("bird-strikes:latest")["Id"] == latest


def test_compose_serves_it_with_least_privileges(
    built: Built, trained: GeneratedProject, request: pytest.FixtureRequest
) -> None:
    if subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    ).returncode:
        lack("docker compose is not installed")
    docker("tag", built.id, "bird-strikes:composed")
    port = free_port()
    compose = ("docker", "compose", "--file", "infra/compose.yaml")
    env = {"VERSION": "composed", "PORT": str(port)}
    request.addfinalizer(lambda: trained.run(*compose, "down", **env))
    done = trained.run(*compose, "up", "--detach", "--wait", **env)
    assert done.returncode == 0, done.stderr
    assert len(ask(f"http://127.0.0.1:{port}/predict", ROWS)["predictions"]) == 2
    about = inspect(trained.run(*compose, "ps", "--quiet", "api", **env).stdout.strip())
    host = about["HostConfig"]
    assert about["State"]["Health"]["Status"] == "healthy"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] == 512 * MIB
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["PortBindings"]["8000/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": str(port)}]


@pytest.mark.weekly
def test_the_environment_in_an_image_trains_the_mounted_project(
    built: Built, changed: GeneratedProject
) -> None:
    changed.make("image", "TARGET=train", f"BASE={TRAINS}")
    shutil.rmtree(changed.path / "bundles")
    (changed.path / "mlflow.db").unlink()
    shutil.rmtree(changed.path / "mlruns")
    docker(
        *("run", "--rm", "--user", f"{os.getuid()}:{os.getgid()}"),
        *("--volume", f"{changed.path}:/work"),
        *("bird-strikes:train", "train", "--models", "tree"),
    )
    bundle = json.loads((changed.path / "bundles/champion/bundle.json").read_text())
    assert bundle["family"] == "tree"
    commit = changed.run("git", "rev-parse", "HEAD").stdout.strip()
    assert bundle["provenance"]["git_commit"] == commit
    assert not bundle["provenance"]["git_dirty"]
