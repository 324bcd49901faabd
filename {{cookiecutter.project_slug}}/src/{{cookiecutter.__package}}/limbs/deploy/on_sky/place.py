"""The steps of a deployment by SkyServe; what a failure leaves is the version that answered."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from ....bundle import open_bundle, registered_version
from ....errors import UserError
from ...images.building import CHAMPION, build, build_serve, name
from ...images.pushing import push
from ...skypilot import environment as skypilot
from ..commands import Deploy
from ..keys import packed
from ..smoke import check
from . import choices
from .price import table

PROGRAM = Path(__file__).with_name("service.py")
ROOM = 100_000  # bytes for keys
PATIENCE = 1800  # seconds until machines are there and answer
PAUSE = 5.0  # seconds
FAILED = "FAILED"  # how the states of replicas that came to nothing begin


class OvertakenError(UserError):
    """Somebody else has deployed meanwhile: it is theirs now."""


class Place:
    """A service of SkyPilot's: replicas behind one address, which go over one by one."""

    def __init__(self, asked: Deploy) -> None:
        if asked.host or asked.port:
            raise UserError(f"ON=sky takes no HOST and no PORT: see {choices.FILE}")
        self.asked, self.name = asked, name()

    def deploy(self) -> None:
        """Bring the champion's image to all replicas, one by one."""
        version = registered_version(CHAMPION).get("version", "unregistered")
        service = choices.read()
        keys = packed(self.asked.serving.keys, ROOM)
        skypilot.ensure()
        planned = plan(choices.compose(service, choices.image(service), version, {}, keys))
        print(f"version {version} on SkyServe, as {self.name}:")
        print(f"  image       {choices.image(service)}, pushed with docker's login")
        print(table(planned))
        if self.asked.dry_run:
            return
        open_bundle(CHAMPION)
        self.agree()
        old = self.find()
        build_serve(None)
        build("sky", f"{self.name}:sky", None, VERSION=version)
        address = push(f"{self.name}:sky", f"{choices.image(service)}:{version}")
        envs = old["config"]["envs"] if old else {}
        self.bring(choices.compose(service, address, version, envs, keys), planned["least"], old)

    def rollback(self) -> None:
        """Bring the image that was there before this one to all replicas."""
        service, old = choices.read(), self.find()
        envs = old["config"]["envs"] if old else {}
        version, _, address = envs.get(choices.BEFORE, "").partition(" ")
        if not address:
            raise UserError("there is nothing to go back to: make deploy brings the champion")
        keys = packed(self.asked.serving.keys, ROOM)
        former = choices.compose(service, address, version, envs, keys)
        self.bring(former, plan(former)["least"], old)

    def status(self) -> None:
        """Tell what is there."""
        if (found := self.find()) is None:
            print(f"{self.name} is not deployed by SkyServe from here")
            return
        envs = found["config"]["envs"]
        model = envs.get(choices.VERSION, "?")
        print(f"version {model}: {found['status'].lower()} at {found['endpoint']}")
        for replica in found["replicas"]:
            which = "" if replica["version"] == found["version"] else ", of another version"
            print(f"  replica{which}: {replica['status'].lower()}")
        if before := envs.get(choices.BEFORE):
            print(f"version {before.split()[0]}: for ROLLBACK=1")

    def fetch(self) -> None:
        """Tell that there is nothing."""
        raise UserError("replicas keep no predictions: what is on them goes with them")

    def down(self) -> None:
        """Remove the service, its machines, and SkyServe's own if no other service needs it."""
        skypilot.ensure()
        skypilot.ask(PROGRAM, "down", {"name": self.name})
        print(f"nothing of {self.name} is left, but its images in the registry")

    def find(self) -> dict[str, Any] | None:
        """What SkyPilot knows of the service, or None; its own server is started if need be."""
        skypilot.ensure()
        services = skypilot.ask(PROGRAM, "status", {}, quiet=True)
        return next((one for one in services if one["name"] == self.name), None)

    def agree(self) -> None:
        """Ask before money is spent.

        Raises
        ------
        UserError
            If the answer is not yes.
        """
        if self.asked.yes:
            return
        if not sys.stdin.isatty():
            raise UserError("machines cost money as long as they are there: YES=1 says yes to it")
        if input("go on? [y/N] ").strip().lower() not in ("y", "yes"):
            raise UserError("nothing was done")

    def bring(self, service: dict[str, Any], least: int, old: dict[str, Any] | None) -> None:
        """Make the service or let it go over, and see that it answers; else bring the old back.

        Raises
        ------
        UserError
            If it does not come up, or does not answer as the bundle does.
        """
        version = service["envs"][choices.VERSION]
        asked = {"config": service, "name": self.name}
        skypilot.ask(PROGRAM, "update" if old else "up", asked)
        try:
            url = self.wait(service, least, old)
            check(version, partial(post, f"{url}/predict"), bool(self.asked.serving.keys))
        except OvertakenError:
            raise
        except BaseException:
            self.go_back(old)
            raise
        print(f"version {version} answers at {url}")

    def go_back(self, old: dict[str, Any] | None) -> None:
        """Let the replicas of the old version that are left stay, and new ones be of it."""
        if old is None:
            say = f"what it said: .sky/bin/sky serve logs {self.name} 1; DOWN=1 takes it away"
            print(say, file=sys.stderr)
            return
        former = old["config"]
        print(f"going back to version {former['envs'][choices.VERSION]}", file=sys.stderr)
        skypilot.ask(PROGRAM, "update", {"config": former, "name": self.name}, quiet=True)

    def wait(self, service: dict[str, Any], least: int, old: dict[str, Any] | None) -> str:
        """Wait until all replicas that answer are of the new version, and enough; return the URL.

        Raises
        ------
        UserError
            If one of them fails, or it takes too long, or another deployment comes in between.
        """
        number = old["version"] + 1 if old else 1
        image = service["envs"][choices.IMAGE]
        limit, told = time.monotonic() + PATIENCE, ""
        while time.monotonic() < limit:
            found = self.find()
            if found is None or found["config"]["envs"][choices.IMAGE] != image:
                raise OvertakenError("another deployment has come in between; try again")
            new = [one["status"] for one in found["replicas"] if one["version"] >= number]
            others = [one["status"] for one in found["replicas"] if one["version"] < number]
            if failed := [state for state in new if state.startswith(FAILED)]:
                raise UserError(f"a replica of the new version came to nothing: {failed[0]}")
            if new.count("READY") >= least and "READY" not in others:
                return str(found["endpoint"])
            states = ", ".join(new).lower() or "none"
            if states != told:
                print(f"replicas of the new version: {states}", flush=True)
                told = states
            time.sleep(PAUSE)
        raise UserError(
            f"the replicas are not ready after {PATIENCE / 60:.0f} minutes: "
            "make deploy ON=sky STATUS=1 tells of them"
        )


def plan(service: dict[str, Any]) -> dict[str, Any]:
    """Let SkyPilot check what it would be given, and tell what machines it would take.

    Raises
    ------
    UserError
        If it refuses it.
    """
    asked = {"config": service, "clouds": skypilot.clouds()}
    try:
        return dict(skypilot.ask(PROGRAM, "plan", asked, quiet=True))
    except UserError as error:
        raise UserError(f"{choices.FILE}: {error}") from None


def post(url: str, body: str) -> tuple[int, str]:
    """Post a body; return the status and the answer.

    Raises
    ------
    UserError
        If nothing answers.
    """
    asked = Request(url, body.encode(), {"Content-Type": "application/json"})
    try:
        with urlopen(asked, timeout=30) as answer:
            return int(answer.status), answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        raise UserError(f"{url} does not answer: {error}") from None
