"""`make deploy ON=sky`: what SkyPilot itself says of the service, and its image on a real engine.

No cloud is reached from here: of SkyPilot, what reads, checks and prices a service is run, with a
catalogue of a few invented prices. The image is entered as SkyPilot enters it, as root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import BakedProject
from test_images import ROWS, docker, engine

pytestmark = pytest.mark.slow
__all__ = ["engine"]  # the fixture: it skips the tests that ask for it where no engine answers

NAME = "sky-birds"
FILE = "infra/deploy/sky.yaml"
HEAD = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,"
# A machine for a replica, and one for the controller, at invented prices.
MACHINES = [
    "m6i.large,,,2.0,8.0,,0.05,0.02,us-east-1,use1-az1,x86_64",
    "m6i.large,,,2.0,8.0,,0.06,0.01,us-west-2,usw2-az1,x86_64",
    "m6i.xlarge,,,4.0,16.0,,0.2,0.08,us-east-1,use1-az1,x86_64",
]


@pytest.fixture(scope="module")
def project(
    trained: BakedProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BakedProject]:
    """A copy of the trained project, under a name of its own; afterwards no image of it is left."""
    project = trained.copy(tmp_path_factory.mktemp("sky") / trained.path.name)
    about = project.path / "pyproject.toml"
    about.write_text(about.read_text().replace('name = "bird-strikes"', f'name = "{NAME}"'))
    choices = project.path / FILE
    choices.write_text(choices.read_text().replace("YOU", "me"))
    yield project
    if shutil.which("docker") and (made := docker("image", "ls", "--quiet", NAME).split()):
        docker("image", "rm", "--force", *set(made))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which SkyPilot finds its catalogue, and no credentials."""
    home = tmp_path_factory.mktemp("home")
    catalogue = home / ".sky/catalogs/v8"
    for name, lines in {
        "aws/vms.csv": [f"{HEAD}Region,AvailabilityZone,Arch", *MACHINES],
        "aws/images.csv": ["Tag,Region,OS,OSVersion,ImageId,CreationDate,BaseImageId"],
        "aws/instance_quota_mapping.csv": ["InstanceType,OnDemandInstanceCode,SpotInstanceCode"],
        "common/accelerators.csv": ["AcceleratorName,AcceleratorCount,Clouds"],
    }.items():
        (catalogue / name).parent.mkdir(parents=True, exist_ok=True)
        (catalogue / name).write_text("\n".join([*lines, ""]))
    return home


def deploy(project: BakedProject, home: Path, *arguments: str) -> Any:
    """Run the command, from the copy's own sources."""
    settings = {"PYTHONPATH": "src", "HOME": str(home), "UV_CACHE_DIR": cache()}
    return project.command("deploy", "--on", "sky", *arguments, **settings)


def cache() -> str:
    """Where uv keeps packages, which is below the home that is taken away."""
    return os.environ.get("UV_CACHE_DIR", str(Path("~/.cache/uv").expanduser()))


def test_skypilot_takes_the_service_and_tells_its_price_without_an_account(
    project: BakedProject, home: Path
) -> None:
    start = time.monotonic()
    done = deploy(project, home, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "installing SkyPilot into .sky" in done.stdout
    size = subprocess.run(["du", "-sm", project.path / ".sky"], capture_output=True, text=True)
    print(f"installed and asked in {time.monotonic() - start:.1f} s; MB: {size.stdout.split()[0]}")
    assert "replicas    1 to 4, each AWS m6i.large: 0.0500 USD an hour" in done.stdout
    assert "controller  AWS m6i.xlarge: 0.2000 USD an hour" in done.stdout
    # By hand: 0.2 + 0.05 and 0.2 + 4 x 0.05 an hour, times 720.
    assert "0.25 to 0.40 USD an hour, 180 to 288 a month" in done.stdout
    done = deploy(project, home, "--dry-run")
    assert "installing" not in done.stdout


def test_what_skypilot_refuses_is_told_in_a_line_that_names_the_file(
    project: BakedProject, home: Path
) -> None:
    written = (project.path / FILE).read_text()
    infra = "# infra: aws/us-east-1 # or"
    try:
        for old, new, complaint in (
            ("path: /health/ready", "pth: /health/ready", "'pth'"),
            ("ports: 8000", "prots: 8000", "did you mean 'ports'"),
            ("  ports: 8000\n", "", "resources.ports must be the one port"),
            ("max_replicas: 4", "max_replicas: 0", "max_replicas must be greater"),
            ("min_replicas: 1", "min_replicas: many", "'many' is not of type 'integer'"),
            ("cpus: 2+", "cpus: 2000+", "nothing on aws or kubernetes or slurm has such"),
            (infra, "infra: aws/us-east-7 #", "Invalid region 'us-east-7'"),
            (infra, "infra: mars #", "'mars' does not match"),
            (infra, "infra: gcp #", "GCP is not in the brackets of infra/sky.txt"),
        ):
            assert old in written
            (project.path / FILE).write_text(written.replace(old, new))
            done = deploy(project, home, "--dry-run")
            lines = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
            assert (done.returncode, len(lines)) == (2, 1), done.stderr
            assert lines[0].startswith(f"error: {FILE}: SkyPilot: "), lines
            assert complaint in lines[0]
    finally:
        (project.path / FILE).write_text(written)


@pytest.mark.usefixtures("engine")
def test_a_replica_is_entered_as_root_and_serves_without_rights(project: BakedProject) -> None:
    config = project.path / "config.yaml"
    config.write_text(config.read_text() + "serving: {record: {folder: served}, canary: 0.5}\n")
    script = (
        f"from {project.package}.limbs.images.building import build\n"
        f"build('sky', '{NAME}:sky', None, VERSION='1')"
    )
    done = project.run(project.python, "-c", script, PYTHONPATH="src")
    assert done.returncode == 0, done.stdout + done.stderr
    run = json.loads(
        project.run(
            project.python,
            "-c",
            f"import json, yaml; print(json.dumps(yaml.safe_load(open('{FILE}'))['run']))",
        ).stdout
    )
    given = ["--env", f"API_KEYS=ann {'0' * 64}\n", "--entrypoint", "/bin/bash"]
    name = docker("run", "--detach", "--interactive", "--tty", *given, f"{NAME}:sky")
    try:
        inside = ["exec", "--user", "0", name, "/bin/bash", "--login", "-c"]
        # What SkyPilot installs where it is missing, without asking the network for lists.
        packages = "rsync curl wget patch openssh-server python3-pip fuse"
        said = docker(*inside, f"apt-get install --simulate -y {packages}")
        assert "0 newly installed" in said, said
        assert docker(*inside, "whoami; python3 -c 'import sys; print(sys.prefix)'").split() == [
            "root",
            "/usr/local",
        ]
        docker(*inside, "service ssh start")
        docker("exec", "--detach", *inside[1:], run)
        get = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8000"
        for _ in range(300):
            if docker(*inside, f"{get}/health/ready || true").endswith("200"):
                break
            time.sleep(0.1)
        kind = "Content-Type: application/json"
        body = json.dumps(ROWS).replace("'", "")
        assert docker(*inside, f"{get}/predict -H '{kind}' -d '{body}'") == "401"
        who = "grep -la on_sky.replica /proc/[0-9]*/cmdline | xargs dirname | xargs stat -c %u"
        assert "10001" in docker(*inside, f"{who} 2>/dev/null || true").split()
    finally:
        docker("rm", "--force", name)
