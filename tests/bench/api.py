"""All that is measured of the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bulk import Answered, measure_bulk
from environments import Packages, find_rivals, measure_packages
from overload import Overload, measure_overload
from project import Project
from servers import INSTALLED, RIVALS, Bench
from serving import Serving, measure_serving
from workers import measure_workers

FAMILY, BULK = "boosting", "linear"  # the models that the targets are about


@dataclass(frozen=True)
class Api:
    """What was measured.

    Attributes
    ----------
    servers, workers
        By the servers' names.
    bulk
        By the kind of file.
    """

    servers: dict[str, Serving]
    workers: dict[str, Serving]
    bulk: dict[str, list[Answered]]
    packages: Packages
    overload: Overload


@dataclass(frozen=True)
class Amount:
    """How much is measured: see bench.py's options."""

    rounds: int
    seconds: int
    starts: int
    bulk_rows: int
    overload: int


def measure_api(project: Project, folder: Path, rivals: Sequence[str], amount: Amount) -> Api:
    """Measure everything, one after the other, from the ingredients in a folder.

    Raises
    ------
    UserError
        If something that is needed is missing, or a server answers wrongly.
    """
    linear, bundle = project.bundle_of(BULK), project.bundle_of(FAMILY)
    environment = find_rivals() if rivals else None
    packages = measure_packages(project, folder)
    bench = Bench(project, folder, bundle, environment)
    servers = [*INSTALLED, *(server for rival in rivals for server in RIVALS[rival])]
    rounds, seconds = amount.rounds, amount.seconds
    return Api(
        measure_serving(bench, servers, rounds, seconds, amount.starts),
        measure_workers(bench, rounds, seconds),
        measure_bulk(bench, linear, amount.bulk_rows, rounds),
        packages,
        measure_overload(bench, amount.overload),
    )
