"""Print all plans that SkyPilot's catalog allows; runs in SkyPilot's own environment.

Arguments are names of clouds. A line of JSON for each cloud, GPU, and spot or not: what was asked,
and what `_program.plan` found, or the refusal.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from coldstart.cloud.skypilot import _program as program


def gpus(cloud: str) -> Iterator[str | None]:
    """Yield all GPUs that a cloud's table names, and None for no GPU."""
    program.catalog.read_catalog(f"{cloud}/vms.csv")["Price"]  # downloads it, if it is missing
    with Path(program.catalog.get_catalog_path(f"{cloud}/vms.csv")).open(newline="") as table:
        named = {(row["AcceleratorName"], row["AcceleratorCount"]) for row in csv.DictReader(table)}
    yield None
    yield from sorted(f"{name}:{float(count):g}" for name, count in named if name)


def offers(cloud: str, resources: dict[str, object], spot: bool) -> object:
    """Return the offers, or the refusal."""
    try:
        return program.plan({"resources": resources, "run": "true"}, [cloud], spot)["offers"]
    except Exception as error:
        return program.format_error(error)


def main() -> None:
    """Print the plans."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # SkyPilot prints, too
    for cloud in sys.argv[1:]:
        for gpu in gpus(cloud):
            for spot in (True, False):
                asked = {"infra": cloud, "use_spot": spot, "disk_size": 50}
                found = offers(cloud, asked | ({"accelerators": gpu} if gpu else {}), spot)
                line = {"cloud": cloud, "gpu": gpu, "spot": spot, "found": found}
                if isinstance(found, list):  # what is handed to SkyPilot is what it would rent
                    handed = {"ordered": [one["resources"] for one in found]}
                    line["same"] = offers(cloud, handed, spot) == found
                print(json.dumps(line), file=output, flush=True)


if __name__ == "__main__":
    main()
