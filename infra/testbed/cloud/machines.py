"""Bodies of the provider's machines: each instance that runs is a container with sshd."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import threading
import time
from typing import Any

import boto3
import botocore.exceptions

NETWORK = "coldstart-cloud"
RANGE = "172.29.0.0/16"
GATEWAY = "172.29.255.1"
LABEL = "coldstart.machine"  # of a machine: the instance's id
MINUTE = "testbed-minute"  # tag of a machine whose `shutdown` counts so many seconds as a minute
PACKAGES = "coldstart-cloud-packages"  # a volume with what jobs have installed
VPC = "testbed"  # its name
PAUSE = 0.5  # seconds
KEY = re.compile(r"(?:ssh-rsa|ssh-ed25519|ecdsa-\S+) \S+")


def docker(*arguments: str, check: bool = True) -> str:
    """Output of a docker command.

    Raises
    ------
    RuntimeError
        If it fails, and that matters.
    """
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"docker {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def log(what: str) -> None:
    """Write what happens to the log."""
    print(time.strftime("%T"), what, file=sys.stderr, flush=True)


def clear() -> None:
    """Remove all machines and their network."""
    if left := docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}").split():
        docker("rm", "--force", "--volumes", *left, check=False)
    docker("network", "rm", NETWORK, check=False)


def make_networks(zones: dict[str, list[str]], endpoint: str) -> None:
    """Make the containers' network, and in each region a VPC with a part of it for each zone."""
    for number, (region, names) in enumerate(zones.items()):
        ec2 = boto3.client("ec2", region_name=region, endpoint_url=endpoint)
        vpc = ec2.create_vpc(CidrBlock=RANGE)["Vpc"]["VpcId"]
        ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": VPC}])
        for place, zone in enumerate(names):
            part = f"172.29.{16 * number + place}.0/24"
            subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=part, AvailabilityZone=zone)
            name = [{"Key": "Name", "Value": zone}]
            ec2.create_tags(Resources=[subnet["Subnet"]["SubnetId"]], Tags=name)


class Machines(threading.Thread):
    """Makes the containers follow the states of the provider's instances.

    Parameters
    ----------
    endpoint
        Address of the provider, without faults.
    public
        Its address for the machines.
    image
        What they boot.
    """

    def __init__(self, regions: list[str], endpoint: str, public: str, image: str) -> None:
        super().__init__(daemon=True)
        self.clients = {
            region: boto3.client("ec2", region_name=region, endpoint_url=endpoint)
            for region in regions
        }
        self.public, self.image = public, image
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(PAUSE):
            try:
                self.look()
            except (RuntimeError, botocore.exceptions.BotoCoreError) as error:
                log(f"machines: {error}")

    def look(self) -> None:
        """See what has changed."""
        listed = docker(
            "ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}} {{.State}}"
        )
        bodies = dict(line.split() for line in listed.splitlines())
        for region, ec2 in self.clients.items():
            for reservation in ec2.describe_instances()["Reservations"]:
                for instance in reservation["Instances"]:
                    name, state = instance["InstanceId"], instance["State"]["Name"]
                    if state == "running" and name not in bodies:
                        self.boot(region, instance)
                    elif state == "running" and bodies[name] == "exited":
                        self.switched_off(ec2, name)
                    elif state != "running" and name in bodies:
                        self.bury(name)

    def boot(self, region: str, instance: dict[str, Any]) -> None:
        """Start a container at the instance's address."""
        name, address = instance["InstanceId"], instance["PrivateIpAddress"]
        ec2 = self.clients[region]
        found = ec2.describe_instance_attribute(InstanceId=name, Attribute="userData")
        # AWS deletes the root disk with the machine, as its image says, where moto would keep it.
        root = [
            {"DeviceName": disk["DeviceName"], "Ebs": {"DeleteOnTermination": True}}
            for disk in instance["BlockDeviceMappings"][:1]
        ]
        ec2.modify_instance_attribute(InstanceId=name, BlockDeviceMappings=root)
        given = found["UserData"].get("Value") or ""
        data = base64.b64decode(given).decode(errors="replace")
        tags = {one["Key"]: one["Value"] for one in instance.get("Tags", ())}
        settings = {
            "USER_DATA": given,
            "INSTANCE_ID": name,
            "MINUTE": tags.get(MINUTE, "60"),
            "AUTHORIZED_KEYS": "\n".join(KEY.findall(data)),
            "AWS_ENDPOINT_URL": self.public,
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.public,
        }
        environment = [part for one in settings.items() for part in ("--env", "=".join(one))]
        docker(
            *("run", "--detach", "--init", "--name", name, "--label", f"{LABEL}={name}"),
            *("--hostname", f"ip-{address.replace('.', '-')}", "--shm-size", "1g"),
            *("--network", NETWORK, "--ip", address, *environment),
            *("--volume", f"{PACKAGES}:/home/ubuntu/.cache/uv", self.image),
        )
        kind = instance.get("InstanceLifecycle", "on demand")
        zone = instance["Placement"]["AvailabilityZone"]
        print(
            f"boot {name} {instance['InstanceType']} {kind} {zone} {address}",
            file=sys.stderr,
            flush=True,
        )

    def switched_off(self, ec2: Any, name: str) -> None:
        """Stop or terminate an instance that has shut itself down, as it was configured."""
        kind = "instanceInitiatedShutdownBehavior"
        found = ec2.describe_instance_attribute(InstanceId=name, Attribute=kind)
        wanted = found["InstanceInitiatedShutdownBehavior"].get("Value", "stop")
        (ec2.terminate_instances if wanted == "terminate" else ec2.stop_instances)(
            InstanceIds=[name]
        )
        log(f"switched off {name}: {wanted}")

    def bury(self, name: str) -> None:
        """Take a machine away, at once and without notice."""
        docker("rm", "--force", "--volumes", name, check=False)
        log(f"gone {name}")
