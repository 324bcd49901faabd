"""SkyPilot's list of machines and prices, which it would fetch: a few, at invented prices."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ZONES = {
    "us-east-1": ["us-east-1a", "us-east-1b"],
    "us-west-2": ["us-west-2a", "us-west-2b"],
}
IDS = {"us-east-1a": "use1-az6", "us-east-1b": "use1-az1"} | {
    "us-west-2a": "usw2-az2",
    "us-west-2b": "usw2-az1",
}
IMAGE = "ami-12c6146b"  # one that moto knows
TAGS = ["cpu-ubuntu", "cpu-ubuntu-arm64", "gpu-ubuntu", "gpu-ubuntu-arm64"]
TAGS += ["gpu-ubuntu-cuda13", "gpu-ubuntu-arm64-cuda13"]
# Type, GPU and how many, CPUs, GiB of memory, dollars an hour on demand and on spot.
MACHINES = [
    ("m6i.large", "", 0, 2, 8, 0.10, 0.04),
    ("m6i.xlarge", "", 0, 4, 16, 0.20, 0.08),
    ("m6i.2xlarge", "", 0, 8, 32, 0.40, 0.16),  # what SkyPilot takes by default
    ("g4dn.xlarge", "T4", 1, 4, 16, 0.50, 0.20),
    ("g6.xlarge", "L4", 1, 4, 16, 0.80, 0.35),
    ("g5.xlarge", "A10G", 1, 4, 16, 1.00, 0.45),
    ("p4d.24xlarge", "A100", 8, 96, 1152, 32.00, 12.00),
]
WEST = 1.1  # there it is all dearer by this


def write(home: Path) -> None:
    """Put the lists where SkyPilot looks for them, below a home."""
    offers = []
    for kind, gpu, count, cpus, memory, price, spot in MACHINES:
        for region, zones in ZONES.items():
            dearer = WEST if region == "us-west-2" else 1
            about = {"Gpus": [{"Name": gpu, "Count": count, "Manufacturer": "NVIDIA"}]}
            quoted = f'"{json.dumps(about).replace(chr(34), chr(39))}"' if gpu else ""
            what = f"{kind},{gpu},{float(count) if gpu else ''},{cpus}.0,{memory}.0,{quoted}"
            cost = f"{price * dearer:.4f},{spot * dearer:.4f}"
            offers += [f"{what},{cost},{region},{IDS[zone]},x86_64" for zone in zones]
    gpus = [f"{gpu},{float(count)},\"['AWS']\"" for _, gpu, count, *_ in MACHINES if gpu]
    images = [
        f"skypilot:custom-{tag},{region},ubuntu,22.04,{IMAGE},20260101,"
        for region in ZONES
        for tag in TAGS
    ]
    names = [f"{name},{number}" for name, number in IDS.items()]
    head = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice"
    for name, lines in {
        "aws/vms.csv": [f"{head},Region,AvailabilityZone,Arch", *offers],
        "aws/images.csv": ["Tag,Region,OS,OSVersion,ImageId,CreationDate,BaseImageId", *images],
        "aws/instance_quota_mapping.csv": ["InstanceType,OnDemandInstanceCode,SpotInstanceCode"],
        # Named after the account: moto has one alone.
        "aws/az_mappings-317e5726.csv": ["AvailabilityZoneName,AvailabilityZone", *names],
        "common/accelerators.csv": ["AcceleratorName,AcceleratorCount,Clouds", *gpus],
    }.items():
        path = home / ".sky/catalogs/v8" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
