"""Machines end themselves from their boot on, whatever dies.

This is at the level of the provider: machines boot with the user data that SkyPilot's own template
makes of our settings, and SkyPilot itself is not there, as if it had died. That it passes our
settings on to its machines is in `test_training.py`.
"""

from __future__ import annotations

import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Template

from coldstart.cloud.skypilot._deadline import end_after_boot

from .rented import REGIONS, Cloud

pytestmark = pytest.mark.slow

IMAGE = "ami-12c6146b"


def user_data(cloud: Cloud, config: dict[str, Any]) -> str:
    """What SkyPilot's template for AWS makes of its settings."""
    (file,) = Path(cloud.sky_folder).glob("lib/python*/site-packages/sky/templates/aws-ray.yml.j2")
    text = file.read_text().split("      UserData: |\n")[1].split("      TagSpecifications:")[0]
    template = Template(textwrap.dedent(text))
    return str(template.render(runcmd=config["aws"]["post_provision_runcmd"]))


def boot(cloud: Cloud, data: str, count: int = 1) -> list[str]:
    """Rent machines, for which a minute lasts a second."""
    tags = [{"Key": "testbed-minute", "Value": "1"}]
    made = cloud.client("ec2", REGIONS[0]).run_instances(
        ImageId=IMAGE,
        SubnetId=cloud.subnet(f"{REGIONS[0]}a"),
        UserData=data,
        MinCount=count,
        MaxCount=count,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    return [one["InstanceId"] for one in made["Instances"]]


def test_machines_that_nobody_connects_to_end_themselves(cloud: Cloud) -> None:
    """SkyPilot dies after the boot and before the setup; and after the head of two is lost."""
    settings = {"aws": {"post_provision_runcmd": ["echo mine > /run/mine"]}}
    data = user_data(cloud, end_after_boot(settings, int(time.time()) + 120))
    (lonely,) = boot(cloud, data)
    head, node = boot(cloud, data, count=2)
    (without,) = boot(cloud, user_data(cloud, settings))  # as it was, or nothing would show it
    cloud.wait(lambda: cloud.machine_has(node, "/run/mine"), 300)
    cloud.preempt(head)
    mine = {lonely, node}
    cloud.wait(lambda: not mine & {one["InstanceId"] for one in cloud.instances()}, 300)
    assert [one["InstanceId"] for one in cloud.instances()] == [without]
    assert cloud.machine_has(without, "/run/mine")
    cloud.preempt(without)
    cloud.wait(lambda: not cloud.live(), 60)
