"""SkyPilot, unmodified but for one line, on the provider of infra/testbed/cloud.

It has a home, a server and a catalogue of its own, and no way to a real account.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from conftest import ROOT, clean_environment
from test_baked import free_port
from test_images import docker

TESTBED = ROOT / "infra/testbed/cloud"
WANTED = ROOT / "{{cookiecutter.project_slug}}/infra/deploy/sky.txt"
LABEL = "coldstart.machine"
MACHINES = "172.29.[01]*"  # their addresses: this computer is 172.29.255.1
REGIONS = ("us-east-1", "us-west-2")
CONFIG = """\
aws: {vpc_name: testbed, use_internal_ips: true, ssh_proxy_command: nc %h %p}
jobs: {controller: {consolidation_mode: true}}
"""


@dataclass
class Cloud:
    """The provider, and SkyPilot as a person has it."""

    home: Path
    sky_folder: Path
    """The environment that SkyPilot is in."""
    public: str
    """Address of the provider's API, for this computer and the machines."""
    behind: str
    """The same, whatever faults are set."""
    environment: dict[str, str]
    """For SkyPilot, boto3 and what uses them."""
    faults: list[dict[str, Any]] = field(default_factory=list)

    def client(self, service: str, region: str = REGIONS[0]) -> Any:
        """A client of boto3's that no fault concerns."""
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return boto3.client(service, region_name=region, endpoint_url=self.behind, **keys)

    def instances(self) -> list[dict[str, Any]]:
        """Instances that have not been terminated, of all regions."""
        return [
            instance
            for region in REGIONS
            for reservation in self.client("ec2", region).describe_instances()["Reservations"]
            for instance in reservation["Instances"]
            if instance["State"]["Name"] != "terminated"
        ]

    def live(self) -> list[str]:
        """All that would bill, and the containers of machines."""
        found = [instance["InstanceId"] for instance in self.instances()]
        for region in REGIONS:
            ec2 = self.client("ec2", region)
            found += [one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]]
            found += [one["PublicIp"] for one in ec2.describe_addresses()["Addresses"]]
            requests = ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
            found += [
                one["SpotInstanceRequestId"]
                for one in requests
                if one["State"] in ("open", "active")
            ]
        names = docker("ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}}")
        return found + names.split()

    def preempt(self, machine: str, notice: float = 0) -> None:
        """Take a machine away, as the provider does with one on spot.

        Parameters
        ----------
        notice
            Seconds that what runs in its containers has after SIGTERM.
        """
        if notice:
            mine = docker("ps", "--quiet", "--filter", f"label={LABEL}={machine}").split()
            started = [one for one in mine if docker("inspect", "-f", "{{.Name}}", one) != machine]
            for one in started:
                docker("kill", "--signal", "TERM", one)
            time.sleep(notice)
        for region in REGIONS:
            ec2 = self.client("ec2", region)
            given = [{"Name": "instance-id", "Values": [machine]}]
            if ec2.describe_instances(Filters=given)["Reservations"]:
                ec2.terminate_instances(InstanceIds=[machine])

    def fail(
        self,
        call: str,
        error: str,
        *,
        times: int | None = None,
        seconds: float | None = None,
        zone: str = "",
        machines: bool = False,
    ) -> None:
        """Let calls of the provider's API fail.

        Parameters
        ----------
        call
            Pattern of names: `ec2:RunInstances`, `s3:*`, `metadata:*`.
        times, seconds
            How often and how long; both None for until `heal`.
        zone
            Only what is asked of this zone.
        machines
            Only what the machines ask, not this computer.
        """
        self.faults.append(
            {
                "call": call,
                "error": error,
                "times": times,
                "until": seconds and time.time() + seconds,
                "about": self.subnet(zone) if zone else "",
                "callers": MACHINES if machines else "*",
            }
        )
        self.tell("faults", self.faults)

    def heal(self) -> None:
        """Take all faults away, and be there again."""
        self.faults.clear()
        self.tell("faults", [])
        self.tell("away", False)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """The provider's address refuses connections."""
        self.tell("away", True)
        try:
            yield
        finally:
            self.tell("away", False)

    def calls(self, name: str, machines: bool = False) -> list[dict[str, Any]]:
        """Calls of a name so far."""
        return [
            call
            for call in self.tell("calls")
            if call["name"] == name
            and (not machines or fnmatch.fnmatchcase(call["caller"], MACHINES))
        ]

    def subnet(self, zone: str) -> str:
        """The subnet that machines of a zone are in."""
        given = [{"Name": "tag:Name", "Values": [zone]}]
        found = self.client("ec2", zone[:-1]).describe_subnets(Filters=given)["Subnets"]
        return str(found[0]["SubnetId"])

    def tell(self, what: str, told: Any = None) -> Any:
        """Tell or ask what is behind the provider."""
        data = None if what == "calls" else json.dumps(told).encode()
        with urllib.request.urlopen(f"{self.behind}/testbed/{what}", data, timeout=20) as answer:
            return json.load(answer)

    def wait(self, condition: Callable[[], Any], seconds: float, pause: float = 1) -> Any:
        """Wait until something is so, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"not within {seconds} s: {self.told()}"
            time.sleep(pause)
        return found

    def told(self) -> str:
        """What there is, and what SkyPilot's daemons on the machines have said last."""
        lines = [str(self.live())]
        for machine in self.instances():
            tail = [
                "exec",
                machine["InstanceId"],
                "tail",
                "-n",
                "30",
                "/home/ubuntu/.sky/skylet.log",
            ]
            done = subprocess.run(["docker", *tail], capture_output=True, text=True)
            lines.append(done.stdout + done.stderr)
        return "\n".join(lines)

    def sky(self, *arguments: Any, check: bool = True) -> str:
        """What a command of SkyPilot's prints."""
        command = [str(self.sky_folder / "bin/sky"), *map(str, arguments)]
        done = subprocess.run(
            command,
            env=clean_environment() | self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )
        assert not check or done.returncode == 0, done.stdout
        return done.stdout

    def processes(self, kind: str = "") -> list[int]:
        """What of SkyPilot's runs in this home: its server, and the controllers of jobs."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                settings = (path / "environ").read_bytes().split(b"\0")
                command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if f"HOME={self.home}".encode() in settings and kind in command:
                    found.append(int(path.name))
        return found

    def kill(self, kind: str = "") -> None:
        """Kill what of SkyPilot's runs in this home, as a power cut would."""
        for number in self.processes(kind):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


def patch(environment: Path) -> None:
    """Let SkyPilot ask the testbed whether the network is up, and not two public addresses.

    Without an answer it takes no machine for lost.
    """
    (module,) = environment.glob("lib/python*/site-packages/sky/backends/backend_utils.py")
    # Machines have it from here, and there it is as it was.
    asked = r"_TEST_IP_LIST = os.environ.get('TESTBED_PROBE', '').split() or \1"
    text, changed = re.subn(r"^_TEST_IP_LIST = (.*)", asked, module.read_text(), flags=re.MULTILINE)
    assert changed == 1
    # The file may be one with that in uv's cache: it must not be written to, only replaced.
    module.unlink()
    module.write_text(text)


def install() -> Path:
    """SkyPilot as the baked project pins it, in a folder that is kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    kept = Path(os.environ.get("TESTBED", cache / "coldstart-testbed"))
    wanted = WANTED.read_text() + inspect.getsource(patch)
    folder = kept / f"sky-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if not (folder / "made").is_file():
        uv = [str(Path(sys.executable).with_name("uv")), "--quiet"]
        settings = clean_environment() | {"UV_SYSTEM_CERTS": "1"}
        subprocess.run(
            [*uv, "venv", "--clear", "--python", sys.executable, str(folder)],
            env=settings,
            check=True,
        )
        packages = ["pip", "install", "--python", str(folder), "--requirements", str(WANTED)]
        subprocess.run([*uv, *packages], env=settings, check=True)
        patch(folder)
        (folder / "made").touch()
    return folder


@pytest.fixture(scope="session")
def session_cloud(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The provider and SkyPilot, from the first test that wants them to the last."""
    folder = install()
    version = re.search(r"^skypilot.*==(\S+)", WANTED.read_text(), re.MULTILINE)
    assert version
    home = tmp_path_factory.mktemp("sky")
    (home / ".sky").mkdir()
    (home / ".sky/config.yaml").write_text(CONFIG)
    subprocess.run([sys.executable, TESTBED / "catalogue.py", home], check=True)
    command = [sys.executable, str(TESTBED / "provider.py"), "--skypilot", version[1]]
    log = home / "provider.log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            assert process.stdout
            first = process.stdout.readline()
            assert first, log.read_text()
            addresses = json.loads(first)
            cloud = Cloud(home, folder, **addresses, environment=surroundings(home, addresses))
            try:
                yield cloud
            finally:
                cloud.kill()
        finally:
            process.terminate()
            process.wait(timeout=60)


def surroundings(home: Path, addresses: dict[str, str]) -> dict[str, str]:
    """What SkyPilot and boto3 find in the environment."""
    cache = Path("~/.cache/uv").expanduser()
    return {
        "HOME": str(home),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(cache)),
        "AWS_ENDPOINT_URL": addresses["public"],
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGIONS[0],
        "AWS_EC2_METADATA_DISABLED": "true",
        "SKYPILOT_API_SERVER_LOCAL_PORT": str(free_port()),
        "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
        "SKYPILOT_SKIP_CLOUD_IDENTITY_CHECK": "1",
        "SKYPILOT_POD_MEMORY_GB_LIMIT": "4",  # else it starts a dozen controllers
        "TESTBED_PROBE": f"{addresses['behind']}/moto-api/",
    }


@pytest.fixture
def cloud(session_cloud: Cloud) -> Iterator[Cloud]:
    """The same, without faults; the test must leave nothing that bills."""
    session_cloud.heal()
    yield session_cloud
    session_cloud.heal()
    left = session_cloud.live()
    for machine in session_cloud.instances():  # they are not the next test's concern
        session_cloud.preempt(machine["InstanceId"])
    assert left == []
