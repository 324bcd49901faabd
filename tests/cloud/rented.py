"""The provider of infra/testbed/cloud, and SkyPilot as a user has it, for tests."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from test_images import docker

LABEL = "coldstart.machine"
MACHINES = "172.29.[01]*"  # their addresses: this computer is 172.29.255.1
REGIONS = ("us-east-1", "us-west-2")


@dataclass
class Cloud:
    """The provider, and SkyPilot as a user has it."""

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
        """Return all that would cost money, and the containers of machines."""
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

    def preempt(self, machine: str) -> None:
        """Take a machine away without notice, as a provider may do with a spot machine."""
        for region in REGIONS:
            ec2 = self.client("ec2", region)
            given = [{"Name": "instance-id", "Values": [machine]}]
            if ec2.describe_instances(Filters=given)["Reservations"]:
                ec2.terminate_instances(InstanceIds=[machine])

    def runs_job(self, machine: str) -> bool:
        """Whether a machine has made its environment, and runs a job's command in it."""
        pattern = "app/.venv/bin/python -(m coldstart|c import time)"
        find = ["docker", "exec", machine, "pgrep", "--full", pattern]
        return subprocess.run(find, capture_output=True).returncode == 0

    def machine_has(self, machine: str, file: str) -> bool:
        """Whether a machine has booted, and a file is on it."""
        find = ["docker", "exec", machine, "test", "-e", file]
        return subprocess.run(find, capture_output=True).returncode == 0

    def fail(
        self,
        call: str,
        error: str,
        *,
        times: int | None = None,
        seconds: float | None = None,
        zone: str = "",
        about: str = "",
        callers: str = "*",
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
        about
            Only calls with this in their path or form.
        callers
            Pattern of addresses: `MACHINES`, or that of one.
        """
        self.faults.append(
            {
                "call": call,
                "error": error,
                "times": times,
                "until": seconds and time.time() + seconds,
                "about": self.subnet(zone) if zone else about,
                "callers": callers,
            }
        )
        self.control("faults", self.faults)

    def heal(self) -> None:
        """Take all faults away, and be there again."""
        self.faults.clear()
        self.control("faults", [])
        self.control("away", False)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """The provider's address refuses connections."""
        self.control("away", True)
        try:
            yield
        finally:
            self.control("away", False)

    def calls(self, name: str, about: str = "", callers: str = "*") -> list[dict[str, Any]]:
        """Calls of a name so far."""
        return [
            call
            for call in self.control("calls")
            if call["name"] == name
            and about in call["about"]
            and fnmatch.fnmatchcase(call["caller"], callers)
        ]

    def subnet(self, zone: str) -> str:
        """The subnet that machines of a zone are in."""
        given = [{"Name": "tag:Name", "Values": [zone]}]
        found = self.client("ec2", zone[:-1]).describe_subnets(Filters=given)["Subnets"]
        return str(found[0]["SubnetId"])

    def control(self, what: str, value: Any = None) -> Any:
        """Send the provider a value, or get one from it."""
        data = None if what == "calls" else json.dumps(value).encode()
        with urllib.request.urlopen(f"{self.behind}/testbed/{what}", data, timeout=20) as response:
            return json.load(response)

    def wait(self, condition: Callable[[], Any], seconds: float, pause: float = 1) -> Any:
        """Wait until something is so, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"not within {seconds} s: {self.describe()}"
            time.sleep(pause)
        return found

    def describe(self) -> str:
        """Return what there is, and the last output of SkyPilot's daemons on the machines."""
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
        found = self.processes(kind)
        if not kind:
            # What has given itself a title has no environment to be known by, only a session.
            sessions = {session(number) for number in found} - {os.getsid(0), 0}
            everything = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
            found = [number for number in everything if session(number) in sessions]
        for number in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


def session(number: int) -> int:
    """The session of a process; 0 if it has ended."""
    try:
        return os.getsid(number)
    except ProcessLookupError:
        return 0
