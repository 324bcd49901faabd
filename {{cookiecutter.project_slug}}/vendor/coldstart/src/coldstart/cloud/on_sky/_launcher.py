"""The steps of a job that SkyPilot runs."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from coldstart.bundle._bundle import checksum
from coldstart.cloud import _labels as labels
from coldstart.cloud._job import Job
from coldstart.cloud._launchers import Machine
from coldstart.cloud._packing import pack, pack_code
from coldstart.cloud._plan import Offer, Plan
from coldstart.cloud._request import LaunchRequest
from coldstart.cloud._snapshots import Snapshots, newest
from coldstart.cloud._store import Store
from coldstart.cloud.on_sky import _choices as choices
from coldstart.cloud.skypilot import _environment as skypilot
from coldstart.errors import UserError
from coldstart.images._building import build_train
from coldstart.images._pushing import push

PROGRAM = Path(__file__).with_name("_program.py")
PAUSE = 3.0  # seconds
# What SkyPilot calls an end that is none.
ENDED = {
    "FAILED": "the command ended with an error",
    "FAILED_SETUP": "the machine could not be made ready",
    "FAILED_NO_RESOURCE": "no machine was to be had",
}
HOUR = 3600


class Sky:
    """SkyPilot's managed jobs: a machine that is lost is replaced, one that is done is ended."""

    def __init__(self, on: str) -> None:
        self.on = on
        self.task: dict[str, Any] = {}
        self.image = self.inputs = self.code = ""

    def plan(self, asked: LaunchRequest) -> Plan:
        """Let SkyPilot check the task, and tell what it would rent."""
        for program in ("rsync", "ssh"):
            if not shutil.which(program):
                raise UserError(
                    f"SkyPilot needs {program}; on Debian and Ubuntu: apt install {program}"
                )
        skypilot.ensure()
        self.task = choices.chosen(choices.read(self.on), asked)
        question = {
            "config": {k: v for k, v in self.task.items() if k != "secrets"},
            "clouds": skypilot.clouds(),
            "spot_asked": bool(asked.spot),
        }
        try:
            found = skypilot.ask(PROGRAM, "plan", question, quiet=True)
        except UserError as error:
            raise UserError(f"{choices.FILE}: {error}") from None
        if not found["spot"]:
            self.task["resources"]["use_spot"] = False
        if isinstance(self.task["resources"].get("accelerators"), dict):
            # Of a set, its controller may take a dearer one first.
            cheapest_first = list(dict.fromkeys(one["gpus"] for one in found["offers"]))
            self.task["resources"]["accelerators"] = cheapest_first
        first, *others = found["offers"]
        highest = [one["highest"] for one in found["offers"] if one["highest"] is not None]
        return Plan(
            Offer(first["what"], first["price"]),
            asked.rented,
            asked.hours,
            "none: an environment is made from the code, as here"
            if choices.bare(self.on)
            else f"{self.task['envs']['IMAGE']}, pushed with docker's login",
            max(highest, default=None),
            [Offer(one["what"], one["price"]) for one in others],
        )

    def prepare(self, asked: LaunchRequest) -> None:
        """Bring data to the store and the image to the registry; both find what is there."""
        store = Store(f"{self.task['envs']['STORE']}/inputs")
        self.inputs = f"{store.address}/{brought(store, 'data', lambda to: pack(asked, to))}"
        if choices.bare(self.on):
            archive = brought(store, "code", pack_code)
            self.code = store.link(archive, int((asked.hours + 1) * HOUR))
            return
        gpu = "accelerators" in self.task["resources"]
        local = build_train(None, gpu=gpu)
        self.image = push(local, f"{self.task['envs']['IMAGE']}:train")

    def start(self, asked: LaunchRequest, job: Job) -> None:
        """Hand it over to SkyPilot's controller."""
        config = choices.compose(self.task, asked, job, self.image, self.inputs, self.code)
        # Its server goes on with what it was asked for, and ends only a job that it knows.
        with undisturbed("it is taken away again as soon as SkyPilot knows of it"):
            skypilot.ask(PROGRAM, "launch", {"config": config})

    def ask(self, what: str, job: str, quiet: bool = True) -> Any:
        """Ask SkyPilot about a job."""
        called = {"name": choices.name_of(labels.project(), job)}
        return skypilot.ask(PROGRAM, what, called, quiet=quiet)

    def follow(self, job: str) -> None:
        """Show the log until the job has ended, over all its machines.

        Raises
        ------
        UserError
            If nobody knows of it, and it has not said that it is done.
        """
        if newest(self.store(job)).get("code") == 0:
            return  # whether or not SkyPilot has heard of it
        skypilot.ensure()
        while (found := self.ask("find", job)) is not None:
            if found["ended"]:
                return
            self.ask("follow", job, quiet=False)
            time.sleep(PAUSE)
        if "code" not in newest(self.store(job)):
            raise UserError(
                f"SkyPilot knows of no job {job[:8]} here; was it started elsewhere? Its machine "
                "ends itself, and then this brings home what it has kept"
            )

    def results(self, job: str, into: Path) -> dict[str, Any]:
        """Bring the newest snapshot, and what SkyPilot says if there is none."""
        about = Snapshots(self.store(job), into).restore()
        found = self.ask("find", job)
        if found and found["status"] != "SUCCEEDED":
            about.setdefault("code", 1)
            about["why"] = f"{ENDED.get(found['status'], found['status'].lower())}: " + (
                found["why"] or "see above"
            )
        return about

    def cost(self, job: str) -> float | None:
        """By SkyPilot's own record of its machines."""
        found: float | None = self.ask("cost", job)
        return found

    def stop(self, job: str) -> None:
        """Cancel the job, see its machines go, and empty its folder in the store.

        Raises
        ------
        UserError
            If a machine of it stays.
        """
        skypilot.ensure()
        self.ask("cancel", job)
        if any(one.of(job) for one in self.machines(labels.project())):
            raise UserError(f"a machine of job {job[:8]} is still there: make cloud-sweep ALL=1")
        store = self.store(job)
        store.delete(store.names(""))

    def store(self, job: str) -> Store:
        """The job's folder."""
        return Store(choices.folder_of(choices.read(self.on), job))

    def shared(self, group: str) -> Store:
        """A folder beside those of the jobs."""
        return Store(choices.shared_of(choices.read(), group))

    def machines(self, project: str) -> list[Machine]:
        """What there is: on AWS by asking it, elsewhere by asking SkyPilot, which asks."""
        if self.on.partition("/")[0] == "aws":
            from coldstart.cloud.aws._sweep import find_all, regions

            found, deaf = find_all(regions(), project)
            for region, why in deaf.items():
                print(f"{region}: could not be asked: {why}", file=sys.stderr)
            instances = [one for one in found if one.kind == "instance"]
            return [
                Machine(
                    one.job or "", f"{self.on}: {one.type}", one.state, one.since or 0, one.price()
                )
                for one in instances
            ]
        skypilot.ensure()
        records = skypilot.ask(PROGRAM, "machines", {"name": project}, quiet=True)
        return [Machine(**record) for record in records]


def brought(store: Store, what: str, pack: Callable[[Path], None]) -> str:
    """Pack something and put it into the store, if it is not there; return its name there."""
    with tempfile.TemporaryDirectory() as at:
        pack(packed := Path(at, what))
        archive = f"{checksum(packed)}.tar.gz"
        size = packed.stat().st_size
        if archive not in store.names(archive):
            with tqdm(
                desc=what, total=size, unit="B", unit_scale=True, disable=None, leave=False
            ) as bar:
                store.put(archive, packed, told=bar.update)
    return archive


@contextmanager
def undisturbed(told: str) -> Iterator[None]:
    """Hold Ctrl-C back until something is done, and tell so."""
    asked: list[bool] = []

    def hold(*_: Any) -> None:
        if not asked:
            print(told, flush=True)
        asked.append(True)

    before = signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt
