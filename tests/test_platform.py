"""The tracking platform: on a real Docker engine, killed, saved, wiped and brought back."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
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
from conftest import ROOT, TRAINING, GeneratedProject, clean_environment, free_port, lack
from test_images import docker, engine, inspect

pytestmark = [pytest.mark.slow, pytest.mark.weekly]
__all__ = ["engine"]  # the fixture: it skips these tests where no engine answers

IMAGES = ("postgres:17", "rclone/rclone:1.75.2")
SERVICES = ("mlflow", "postgres", "store")
TRAIN = ("train", "--models", "tree", "--models", "linear")
# All that the platform knows, as JSON: of each file the hash.
TELL = """
import hashlib, json, os, tempfile
from pathlib import Path
os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] = "false"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"  # what is not there is answered with 500
import mlflow
from mlflow import MlflowClient

def files(uri):
    with tempfile.TemporaryDirectory() as folder:
        try:
            mlflow.artifacts.download_artifacts(uri, dst_path=folder)
        except Exception as error:
            return repr(error)
        found = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

client, told = MlflowClient(), {"runs": {}, "models": {}, "versions": {}}
ids = [experiment.experiment_id for experiment in client.search_experiments()]
for run in client.search_runs(ids):
    histories = [client.get_metric_history(run.info.run_id, name) for name in run.data.metrics]
    told["runs"][run.info.run_id] = {
        "status": run.info.status, "times": [run.info.start_time, run.info.end_time],
        "params": run.data.params, "tags": run.data.tags, "files": files(run.info.artifact_uri),
        "metrics": {points[0].key: [dict(point) for point in points] for points in histories},
    }
for model in client.search_logged_models(ids):
    told["models"][model.model_id] = {
        "status": str(model.status), "files": files(f"models:/{model.model_id}"),
    }
for registered in client.search_registered_models():
    told["aliases"] = registered.aliases
    for version in client.search_model_versions(f"name = '{registered.name}'"):
        told["versions"][version.version] = dict(version) | {"aliases": sorted(version.aliases)}
print(json.dumps(told, default=str))
"""


@dataclass(frozen=True)
class Platform:
    """A platform in a folder of its own."""

    path: Path
    name: str

    def make(self, *arguments: Any) -> subprocess.CompletedProcess[str]:
        """Run one of its commands."""
        return subprocess.run(
            ["make", *map(str, arguments)],
            cwd=self.path,
            env=clean_environment() | {"COMPOSE_PROJECT_NAME": self.name},
            capture_output=True,
            text=True,
            check=False,
        )

    def done(self, *arguments: Any) -> str:
        """Output of one of its commands, which must succeed."""
        done = self.make(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refused(self, *arguments: Any) -> str:
        """Return the line that a command is refused with."""
        done = self.make(*arguments)
        assert done.returncode == 2
        error, told_by_make = done.stderr.splitlines()
        assert told_by_make.startswith("make: ")
        return error.removeprefix("error: ")

    @property
    def env(self) -> dict[str, str]:
        """What its .env says."""
        text = (self.path / ".env").read_text()
        return dict(re.findall(r"^([A-Z_0-9]+)=(.*)$", text, flags=re.MULTILINE))

    def login(self, user: str, password: str) -> dict[str, str]:
        """Settings of a project that uses it."""
        return {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.env['PORT']}",
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": password,
        }

    def container(self, service: str) -> str:
        """Name of a container."""
        return f"{self.name}-{service}-1"

    def query(self, statement: str) -> str:
        """Answer of the database."""
        ask = ("psql", "--username", "mlflow", "--no-align", "--tuples-only", "--command")
        return docker("exec", self.container("postgres"), *ask, statement)

    def wait_for_run(self, name: str) -> None:
        """Wait until a run of this name has begun, and has not ended."""
        statement = f"select count(*) from runs where status = 'RUNNING' and name = '{name}'"
        end = time.monotonic() + 120
        while self.query(statement) == "0":
            assert time.monotonic() < end, f"no run of {name} has begun"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def platform(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that runs; afterwards nothing of it is left."""
    if subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    ).returncode:
        lack("docker compose is not installed")
    for image in IMAGES:
        commands = [["docker", "image", "inspect", image], ["docker", "pull", "--quiet", image]]
        commands.append([str(ROOT / "infra/testbed/platform.sh")])
        assert not all(
            subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
            for command in commands
        ), f"{image} is not to be had"
    path = tmp_path_factory.mktemp("platform") / "platform"
    ignored = shutil.ignore_patterns(".env", "backups", "__pycache__")
    shutil.copytree(ROOT / "infra/platform", path, ignore=ignored)
    made = Platform(path, f"platform-{uuid.uuid4().hex[:8]}")
    try:
        begin = time.monotonic()
        made.done("up", f"PORT={free_port()}")
        print(f"the platform was built and answered after {time.monotonic() - begin:.0f} s")
        yield made
    finally:
        made.make("wipe", "SURE=1")
        docker("image", "rm", "--force", f"{made.name}-mlflow")


@pytest.fixture(scope="module")
def ann(platform: Platform) -> dict[str, str]:
    """The settings of an ordinary user, as the platform's command tells them."""
    said = platform.done("user", "NAME=ann")
    return dict(re.findall(r"(MLFLOW_\w+)=(\S+)", said))


@pytest.fixture(scope="module")
def project(
    installed: GeneratedProject, tmp_path_factory: pytest.TempPathFactory
) -> GeneratedProject:
    """A copy of the installed project, with nothing trained."""
    project = installed.copy(tmp_path_factory.mktemp("tracked") / installed.path.name, *TRAINING)
    project.thin(4)
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Fewer rows")
    return project


def tell(project: GeneratedProject, login: dict[str, str]) -> Any:
    """All that the platform knows."""
    done = project.run(project.python, "-c", TELL, **login)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def start(project: GeneratedProject, login: dict[str, str], **env: str) -> subprocess.Popen[str]:
    """Begin a training of two families."""
    return subprocess.Popen(
        [project.python, "-m", project.package, *TRAIN],
        cwd=project.path,
        env=clean_environment() | {**login, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def status(url: str, login: dict[str, str] | None = None) -> int:
    """Status that a server answers a request with."""
    request = urllib.request.Request(url)
    if login:
        pair = f"{login['MLFLOW_TRACKING_USERNAME']}:{login['MLFLOW_TRACKING_PASSWORD']}"
        request.add_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_it_is_open_to_nobody_without_a_password_and_reached_from_this_machine_alone(
    platform: Platform, project: GeneratedProject, ann: dict[str, str]
) -> None:
    url = ann["MLFLOW_TRACKING_URI"]
    for path in ("", "api/2.0/mlflow/experiments/search?max_results=1", "graphql", "signup"):
        assert status(f"{url}/{path}") == 401, path
        assert status(f"{url}/{path}", ann | {"MLFLOW_TRACKING_PASSWORD": "password1234"}) == 401
    artifacts = f"{url}/api/2.0/mlflow-artifacts/artifacts"
    assert status(artifacts) == 401
    assert status(url, ann) == 200
    done = project.command("pull", **ann | {"MLFLOW_TRACKING_PASSWORD": "wrong"})
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        f"error: the tracking store {url} does not know this user and password: "
        "see MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    )
    bindings = {
        service: inspect(platform.container(service))["HostConfig"]["PortBindings"]
        for service in SERVICES
    }
    assert bindings["mlflow"] == {
        "5000/tcp": [{"HostIp": "127.0.0.1", "HostPort": platform.env["PORT"]}]
    }
    assert not bindings["postgres"]
    assert not bindings["store"]


def test_its_secrets_are_in_one_file_and_its_containers_have_few_rights(
    platform: Platform, ann: dict[str, str]
) -> None:
    assert (platform.path / ".env").stat().st_mode & 0o777 == 0o600
    secrets = [value for value in platform.env.values() if re.fullmatch("[0-9a-f]{32}", value)]
    assert len(set(secrets)) == 5
    image = f"{platform.name}-mlflow"
    shown = docker("history", "--no-trunc", image) + docker("inspect", image)
    for service in SERVICES:
        name = platform.container(service)
        logs = subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=True)
        shown += logs.stdout + logs.stderr + docker("top", name)
        host = inspect(name)["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
    for secret in (*secrets, ann["MLFLOW_TRACKING_PASSWORD"]):
        assert secret not in shown
    size = inspect(image)["Size"] - inspect("python:3.11-slim")["Size"]
    print(f"the server's image: {size / 2**20:.0f} MiB above its base")
    listing = "import os; print(os.getuid(), sorted(os.listdir('/app')))"
    said = docker("exec", platform.container("mlflow"), "python", "-c", listing)
    assert said == "10001 ['.venv', 'admin.py', 'artifacts.py', 'auth.ini']"


def test_a_training_goes_on_where_it_was_when_the_platform_was_killed_and_is_back(
    platform: Platform, project: GeneratedProject, ann: dict[str, str]
) -> None:
    training = start(project, ann)
    platform.wait_for_run("linear")
    finished = platform.query("select run_uuid from runs where status = 'FINISHED'")
    before = platform.query(
        "select key, value::text from metrics union select key, value from params"
    )
    docker("kill", *(platform.container(service) for service in SERVICES))
    begin = time.monotonic()
    platform.done("up")
    print(f"the killed platform answered after {time.monotonic() - begin:.0f} s")
    said, errors = training.communicate(timeout=300)
    assert training.returncode == 0, errors
    assert "the tracking store does not answer; trying again" in errors
    assert "Traceback" not in errors
    assert "champion: version" in said
    told = tell(project, ann)
    assert sorted(run["tags"]["family"] for run in told["runs"].values()) == ["linear", "tree"]
    assert {run["status"] for run in told["runs"].values()} == {"FINISHED"}
    assert told["runs"][finished]["tags"]["family"] == "tree"
    after = platform.query(
        "select key, value::text from metrics union select key, value from params"
    )
    assert set(before.splitlines()) <= set(after.splitlines())
    complete(told)
    assert len(told["versions"]) == 2


def test_a_training_that_waited_in_vain_says_so_and_its_run_is_gone_on_with(
    platform: Platform, project: GeneratedProject, ann: dict[str, str]
) -> None:
    before = tell(project, ann)
    training = start(project, ann, MLFLOW_HTTP_REQUEST_MAX_RETRIES="2")
    platform.wait_for_run("linear")
    left = platform.query("select run_uuid from runs where status = 'RUNNING'")
    docker("kill", platform.container("mlflow"))
    _, errors = training.communicate(timeout=120)
    assert training.returncode == 2
    *_, error, advice = errors.splitlines()
    assert error.startswith(f"error: the tracking store {ann['MLFLOW_TRACKING_URI']} does not")
    assert advice == "what was finished is kept; fix that, and run this again"
    assert "Traceback" not in errors
    platform.done("up")
    after = tell(project, ann)
    for part in ("runs", "models", "versions"):
        assert before[part].items() <= after[part].items()
    assert len(after["versions"]) == len(before["versions"]) + 1  # that of the tree
    again = project.command(*TRAIN, **ann)
    assert again.returncode == 0, again.stderr
    told = tell(project, ann)
    assert told["runs"][left]["status"] == "FINISHED"
    complete(told)


def test_another_user_reads_and_changes_nothing(
    platform: Platform, project: GeneratedProject, ann: dict[str, str]
) -> None:
    done = project.command(*TRAIN, **ann)
    assert done.returncode == 0, done.stderr
    bob = dict(re.findall(r"(MLFLOW_\w+)=(\S+)", platform.done("user", "NAME=bob")))
    assert platform.refused("user", "NAME=bob") == (
        "MLflow refuses: User (username=bob) already exists."
    )
    done = project.command("pull", **bob)
    assert done.returncode == 0, done.stderr
    done = project.command(*TRAIN, **bob)
    assert done.returncode == 2
    assert "does not allow this user to do that" in done.stderr
    assert "Traceback" not in done.stderr
    renewed = dict(re.findall(r"(MLFLOW_\w+)=(\S+)", platform.done("user", "NAME=bob", "RESET=1")))
    assert status(bob["MLFLOW_TRACKING_URI"], bob) == 401
    assert status(bob["MLFLOW_TRACKING_URI"], renewed) == 200
    platform.done("user", "NAME=bob", "REMOVE=1")
    assert status(bob["MLFLOW_TRACKING_URI"], renewed) == 401


def test_what_is_no_whole_backup_is_refused_and_so_is_a_platform_in_use(
    platform: Platform, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.tar"
    platform.done("backup", f"FILE={kept}")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["kept.tar"]
    assert platform.refused("backup", f"FILE={kept}").endswith("choose another name")
    started = inspect(platform.container("mlflow"))["State"]["StartedAt"]
    content = kept.read_bytes()
    with tarfile.open(kept) as archive:  # not a header, of which another one is the reason
        largest = max(archive.getmembers(), key=lambda one: one.size)
    flipped = bytearray(content)
    flipped[largest.offset_data + largest.size // 2] ^= 1
    for name, wrong, reason in (
        ("half", content[: len(content) // 2], "is truncated"),
        ("at a member", content[: content.rindex(b"contents.json")], "is truncated"),
        ("flipped", bytes(flipped), "is damaged: its files have other checksums than its list"),
        ("nothing", b"", "is not a backup of a platform"),
        ("text", b"hello\n" * 1000, "is not a backup of a platform"),
    ):
        path = tmp_path / f"{name}.tar"
        path.write_bytes(wrong)
        said = platform.refused("restore", f"FILE={path}", "OVERWRITE=1")
        assert said == f"{path} {reason}; nothing was changed"
    assert platform.refused("restore", f"FILE={kept}") == (
        "this platform has runs, models or users, and nothing was changed; "
        "to replace them: OVERWRITE=1"
    )
    assert inspect(platform.container("mlflow"))["State"]["StartedAt"] == started


def test_a_backup_that_was_made_during_a_training_brings_everything_back(
    platform: Platform, project: GeneratedProject, ann: dict[str, str], tmp_path: Path
) -> None:
    project.make("pull", **ann)
    before = tell(project, ann)
    bundle = hashes(project.path / "bundles/champion")
    training = start(project, ann)
    platform.wait_for_run("linear")
    print(platform.done("backup", f"FILE={tmp_path / 'during.tar'}"))
    training.communicate(timeout=300)
    assert training.returncode == 0

    platform.done("wipe", "SURE=1")
    assert not docker("volume", "ls", "--quiet", "--filter", f"name={platform.name}")
    begin = time.monotonic()
    platform.done("up")
    assert status(ann["MLFLOW_TRACKING_URI"], ann) == 401  # it is another platform
    print(platform.done("restore", f"FILE={tmp_path / 'during.tar'}"))
    print(f"up and restored in {time.monotonic() - begin:.0f} s")
    after = tell(project, ann)
    for part in ("runs", "models"):
        assert before[part].items() <= after[part].items()
    for version, about in before["versions"].items():
        assert {**after["versions"][version], "aliases": 0} == {**about, "aliases": 0}
    assert after["aliases"]["champion"] == before["aliases"]["champion"]
    complete(after)
    shutil.rmtree(project.path / "bundles")
    project.make("pull", **ann)
    assert hashes(project.path / "bundles/champion") == bundle
    admin = platform.login("admin", platform.env["ADMIN_PASSWORD"])
    assert status(admin["MLFLOW_TRACKING_URI"], admin) == 200


def complete(told: dict[str, Any]) -> None:
    """Every finished run, finished model and version has its files."""
    for run in told["runs"].values():
        if run["status"] == "FINISHED":
            assert {"schema.yaml", "ranking.png"} <= set(run["files"])
            assert "test_average_precision" in run["metrics"]
    for model in told["models"].values():
        if model["status"] == "READY":
            assert {"MLmodel", "model.onnx", "bundle.json"} <= set(model["files"])
    models = {version["source"].removeprefix("models:/") for version in told["versions"].values()}
    assert {told["models"][model]["status"] for model in models} == {"READY"}


def hashes(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
