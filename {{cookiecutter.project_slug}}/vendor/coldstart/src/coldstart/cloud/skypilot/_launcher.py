"""Training on machines that SkyPilot rents: managed jobs, whose machines are replaced if lost."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from coldstart._provenance import project_name
from coldstart.bundle._bundle import checksum
from coldstart.cloud._job import Job
from coldstart.cloud._launchers import Machine
from coldstart.cloud._packing import pack, pack_code
from coldstart.cloud._plan import Offer, Plan
from coldstart.cloud._request import LaunchRequest, provider_of
from coldstart.cloud._snapshots import Snapshots, newest_status
from coldstart.cloud._store import Store
from coldstart.cloud.aws._session import describe_keys, narrow_keys
from coldstart.cloud.skypilot import _bound as bounds
from coldstart.cloud.skypilot import _environment as skypilot
from coldstart.cloud.skypilot import _task as tasks
from coldstart.cloud.skypilot._deadline import describe_end, end_after_boot
from coldstart.errors import UserError

POLL_SECONDS = 3.0
HOUR = 3600
# S3 accepts links of a week at most. The link to the code outlives the job by an hour.
MAX_HOURS = 7 * 24 - 1
CREDENTIALS = (
    "with ON=sky, SkyPilot copies the credentials of all clouds in infra/sky.txt to the machine; "
    "with a provider's name those of that one"
)
# How SkyPilot calls an end that is not a success.
FAILURES = {
    "FAILED": "the command ended with an error",
    "FAILED_SETUP": "the machine could not be set up",
    "FAILED_NO_RESOURCE": "no machine was available",
}


class SkyPilotLauncher:
    """A provider that SkyPilot knows: ``aws``, ``aws/us-east-1``, ``slurm``; ``sky`` for any."""

    def __init__(self, on: str) -> None:
        self.on = on
        self.task: dict[str, Any] = {}
        self.inputs = self.code = ""

    def plan(self, request: LaunchRequest) -> Plan:
        """Let SkyPilot check the task, and return what it would rent.

        The task then names exactly the machines of the plan, and all regions where their price
        is within the budget, so that SkyPilot rents no other.
        """
        if request.hours > MAX_HOURS:
            raise UserError(
                f"HOURS={request.hours:g} is too long: on {self.on} a job may take {MAX_HOURS} h"
            )
        if not request.dry_run and (missing := " ".join(tasks.missing_programs())):
            raise UserError(
                f"SkyPilot needs {missing}; on Debian and Ubuntu: apt install {missing}"
            )
        skypilot.ensure_installed()
        task = tasks.read_task(request.dry_run)
        if request.on == "aws" and not request.dry_run:
            from coldstart.cloud.aws._bucket import bucket_region

            # Data leave the bucket's region only if another one is named.
            if region := bucket_region(task["envs"]["STORE"]):
                request = replace(request, on=f"aws/{region}")
        self.task = tasks.apply_request(task, request)
        here = [] if self.on == tasks.ANY else [provider_of(self.on)]
        arguments = {
            "config": {key: value for key, value in self.task.items() if key != "secrets"},
            # Prices of a cloud can be read without what renting there needs.
            "clouds": [*skypilot.clouds(), *(here if request.dry_run else [])],
            "spot_only": bool(request.spot),
        }
        try:
            found = skypilot.call("plan", arguments, True, self.on)
        except UserError as error:
            raise UserError(f"{tasks.FILE}: {error}") from None
        if found["controller"] and not request.dry_run:
            raise UserError(
                "SkyPilot would rent a machine to watch over jobs, at a cost without a limit: "
                f"{found['controller']}"
            )
        return self.choose(request, found)

    def choose(self, request: LaunchRequest, found: dict[str, Any]) -> Plan:
        """Return the plan with what fits the budget of the offers that SkyPilot found."""
        published = {one["cloud"] for one in found["offers"] if one["places"] is not None}
        if request.price is not None and len(published) > 0:
            clouds = " and ".join(sorted(published))
            raise UserError(f"PRICE=... is not for {clouds}: prices are in SkyPilot's catalog")
        disk = max(one["disk"] for one in found["offers"])
        plan = Plan(
            Offer("", None),
            request.nodes,
            request.hours,
            "an environment, made there by infra/environment.py",
            charges=bounds.charges(sorted(published), disk),
            ending=bounds.ENDING,
            notes=tasks.describe_gpu(request) + describe_keys(self.task, request.hours * HOUR),
            warning=CREDENTIALS if self.on == tasks.ANY else "",
        )
        plan.notes.append(describe_end({one["cloud"] for one in found["offers"]}))
        if published:
            plan.notes.append(f"prices of {found['date']}, from SkyPilot's catalog")
            plan.notes.append(bounds.UNBOUNDED)

        def fits(price: float) -> bool:
            cost = replace(plan, offer=Offer("", price)).max_cost
            return request.dollars is None or cost is None or cost <= request.dollars

        offers, resources = bounds.choose(found["offers"], fits, request.price)
        if not offers:  # the refusal names what the cheapest would cost
            everything, _ = bounds.choose(found["offers"], lambda _: True, request.price)
            offers = [min(everything, key=lambda offer: offer.limit or 0)]
        if published:
            self.task["resources"] = {"ordered": resources}
        else:  # Slurm and Kubernetes, which have no spot machines
            self.task = tasks.apply_request(self.task, replace(request, spot=False))
        return replace(plan, offer=offers[0], alternatives=offers[1:])

    def prepare(self, request: LaunchRequest) -> None:
        """Upload the inputs and the code, unless they are in the store."""
        store = Store(f"{self.task['envs']['STORE']}/inputs")
        inputs = upload(store, "data", lambda archive: pack(request.settings, archive))
        self.inputs = f"{store.address}/{inputs}"
        code = upload(store, "code", pack_code)
        self.code = store.link(code, int((request.hours + 1) * HOUR))

    def start(self, request: LaunchRequest, job: Job) -> None:
        """Hand the job over to SkyPilot's controller."""
        keys = narrow_keys(self.task, job, self.inputs, request.settings.data.table)
        task = {**self.task, "secrets": keys}
        config = tasks.compose(task, request, job, self.inputs, self.code)
        # SkyPilot's server continues with a launch that is interrupted here, and only a job that
        # it knows can be canceled.
        settings = end_after_boot(skypilot.read_config(), job.deadline)
        with delay_interrupt("canceling as soon as SkyPilot knows the job"):
            skypilot.call("launch", {"config": config}, False, self.on, settings)

    def call(self, function: str, job: str, quiet: bool = True) -> Any:
        """Call a function of SkyPilot about a job."""
        name = {"name": tasks.task_name(project_name(), job)}
        return skypilot.call(function, name, quiet, self.on)

    def follow(self, job: str) -> None:
        """Print the log until the job has ended, over all its machines.

        Raises
        ------
        UserError
            If SkyPilot does not know the job, and the job has not reported its end.
        """
        if newest_status(self.store(job)).get("code") == 0:
            return  # whether or not SkyPilot has heard of it
        skypilot.ensure_installed()
        while (found := self.call("find", job)) is not None:
            if found["ended"]:
                return
            self.call("follow", job, quiet=False)
            time.sleep(POLL_SECONDS)
        if "code" not in newest_status(self.store(job)):
            raise UserError(
                f"SkyPilot does not know job {job[:8]} on this computer. If it was started "
                "elsewhere, run this again after its deadline, when its machine has ended"
            )

    def download(self, job: str, folder: Path) -> dict[str, Any]:
        """Download the newest snapshot, and return its status with SkyPilot's reason."""
        status = Snapshots(self.store(job), folder).restore()
        found = self.call("find", job)
        if found and found["status"] != "SUCCEEDED":
            failure = FAILURES.get(found["status"], found["status"].lower())
            status["reason"] = f"{failure}: {found['reason'] or 'see above'}"
        return status

    def cost(self, job: str) -> float | None:
        """Return the cost by SkyPilot's own records."""
        found: float | None = self.call("cost", job)
        return found

    def stop(self, job: str, keep: bool = False) -> None:
        """Cancel the job, wait until its machines have ended, and empty its folder in the store.

        Raises
        ------
        UserError
            If a machine of it is left.
        """
        skypilot.ensure_installed()
        self.call("cancel", job)
        if any(one.belongs_to(job) for one in self.machines(project_name())):
            raise UserError(f"a machine of job {job[:8]} is still running: make cloud-sweep ALL=1")
        if not keep:
            store = self.store(job)
            store.delete(store.names(""))

    def store(self, job: str) -> Store:
        """Return the job's folder in the object store."""
        return Store(tasks.job_folder(tasks.read_task(), job))

    def machines(self, project: str) -> list[Machine]:
        """Return the machines of a project. AWS is asked itself, others through SkyPilot."""
        if provider_of(self.on) == "aws":
            from coldstart.cloud.aws._sweep import find_all, regions

            found, failed = find_all(regions(), project)
            for region, reason in failed.items():
                print(f"{region}: could not be asked: {reason}", file=sys.stderr)
            return [
                Machine(one.job, f"{self.on}: {one.type}", one.state, one.since)
                for one in found
                if one.kind == "instance"
            ]
        skypilot.ensure_installed()
        return [
            Machine(**record)
            for record in skypilot.call("machines", {"name": project}, True, self.on)
        ]


def upload(store: Store, what: str, pack: Callable[[Path], None]) -> str:
    """Pack something, upload it unless the store has it, and return its name there."""
    with tempfile.TemporaryDirectory() as at:
        pack(packed := Path(at, what))
        archive = f"{checksum(packed)}.tar.gz"
        size = packed.stat().st_size
        if archive not in store.names(archive):
            with tqdm(
                desc=what, total=size, unit="B", unit_scale=True, disable=None, leave=False
            ) as bar:
                store.put(archive, packed, progress=bar.update)
    return archive


@contextmanager
def delay_interrupt(message: str) -> Iterator[None]:
    """Delay Ctrl-C until a step is complete, and print a message meanwhile."""
    interrupted: list[bool] = []

    def remember(*_: Any) -> None:
        if not interrupted:
            print(message, flush=True)
        interrupted.append(True)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted:
        raise KeyboardInterrupt
