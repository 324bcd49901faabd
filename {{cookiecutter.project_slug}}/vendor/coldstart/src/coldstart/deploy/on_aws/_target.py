"""The steps of a deployment to Lambda, each of which may fail and be done again."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.request import urlopen

import yaml
from pydantic import Field, ValidationError

from coldstart.bundle._bundle import registered_version, verify_bundle
from coldstart.config._settings import Section
from coldstart.deploy._keys import packed
from coldstart.deploy._request import DeployRequest
from coldstart.deploy._smoke import check
from coldstart.deploy.on_aws._account import Account, NotOursError, told
from coldstart.deploy.on_aws._cost import table
from coldstart.deploy.on_aws._function import Function, before
from coldstart.deploy.on_aws._image import bring
from coldstart.deploy.on_aws._parts import Log, Part, Repository, Role
from coldstart.deploy.on_aws._request import ask
from coldstart.errors import UserError, describe
from coldstart.images._building import CHAMPION, name

CHOICES = Path("infra/deploy/aws.yaml")
ROOM = 3_500  # bytes for keys; Lambda's environment has 4 KB
PATIENCE = 60  # seconds until a new URL is known everywhere
# What a repository, a function and a role, whose name has the region as well, may be called.
NAME, SHORTEST, LONGEST = r"[a-z0-9]+([_-][a-z0-9]+)*", 2, 44
# What CloudWatch can keep a log for, up to a year.
Days = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365]


class Choices(Section):
    """What infra/deploy/aws.yaml holds."""

    memory: int = Field(1024, ge=128, le=10_240)
    timeout: int = Field(40, ge=1, le=900)
    throttle: int = Field(5, ge=1)
    log_days: Days = 14
    keep: int = Field(5, ge=2)


class DeployTarget:
    """AWS Lambda: a function, whose alias `live` says which version the URL asks."""

    def __init__(self, asked: DeployRequest) -> None:
        if asked.host or asked.port:
            raise UserError("ON=aws takes no HOST and no PORT: AWS chooses the URL")
        try:
            content = yaml.safe_load(CHOICES.read_text()) if CHOICES.is_file() else {}
            self.choices = Choices.model_validate(content or {})
        except ValidationError as error:
            raise UserError(f"{CHOICES}: {describe(error, Choices.model_fields)}") from None
        except yaml.YAMLError as error:
            raise UserError(f"{CHOICES} is not YAML: {' '.join(str(error).split())}") from None
        self.asked, self.name = asked, name()
        if not re.fullmatch(NAME, self.name) or not SHORTEST <= len(self.name) <= LONGEST:
            raise UserError(
                f"{self.name!r} cannot be a name at AWS: {SHORTEST} to {LONGEST} small letters and "
                "digits, with single hyphens between them (pyproject.toml)"
            )
        if not asked.dry_run:
            self.connect()

    def connect(self) -> None:
        """Meet the account; nothing in it is asked for yet."""
        self.account = Account(self.name)
        self.log = Log(self.account, self.choices.log_days)
        self.role = Role(self.account)
        self.repository = Repository(self.account)
        self.function = Function(self.account)

    def parts(self) -> list[Part]:
        """All that a deployment makes, in the order in which it can be removed."""
        return [self.function, self.role, self.log, self.repository]

    def deploy(self) -> None:
        """Publish the champion beside the version that is live, try it, and let it be live."""
        version = registered_version(CHAMPION).get("version", "unregistered")
        if self.asked.dry_run:
            self.plan(version)
            return
        verify_bundle(CHAMPION)
        environment = packed(self.asked.serving.keys, ROOM)
        with told():
            for part in self.parts():
                part.find()  # so that nothing is made where something cannot be
            log = self.log.ensure()
            role = self.role.ensure(log)
            image = bring(self.account, self.repository.ensure(), version)
            alias = self.function.alias()
            settings = {
                "MemorySize": self.choices.memory,
                "Timeout": self.choices.timeout,
                "Role": role,
                "Environment": {"Variables": environment},
            }
            new = self.function.publish(image, settings, version)
            self.function.throttle(self.choices.throttle)
            self.check(new, version)
            self.function.switch(new, alias)
            url = self.function.open()
            self.repository.forget(self.function.forget(self.choices.keep))
        answers(url)
        print(f"version {version} answers at {url}")

    def rollback(self) -> None:
        """Let the version that was live before be live again."""
        with told():
            alias = (self.function.find() and self.function.alias()) or {}
            old = before(alias)
            if old is None:
                raise UserError("there is nothing to go back to: make deploy brings the champion")
            versions = self.function.versions()
            found = [one["Description"] for one in versions if one["Version"] == old]
            if not found:
                raise UserError(
                    f"the function's version {old}, which was live before, is gone: "
                    "make deploy brings the champion"
                )
            (model,) = found
            self.check(old, model)
            self.function.switch(old, alias)
            print(f"version {model} answers at {self.function.url()} again")

    def status(self) -> None:
        """Tell what is there."""
        with told():
            if self.function.find() is None:
                print(f"{self.name} is not deployed in {self.account.region}")
                return
            alias = self.function.alias() or {}
            for one in self.function.versions():
                at = dt.datetime.fromisoformat(one["LastModified"]).isoformat(" ", "seconds")
                live = one["Version"] == alias.get("FunctionVersion")
                does = f"answers at {self.function.url()}" if live else "published"
                if one["Version"] == before(alias):
                    does = "for ROLLBACK=1"
                model, number = one["Description"], one["Version"]
                print(f"version {model} of {at}, the function's {number}: {does}")

    def fetch(self) -> None:
        """Tell that there is nothing."""
        raise UserError("on Lambda no predictions are kept: an instance has no disk that stays")

    def down(self) -> None:
        """Remove all that a deployment has made."""
        with told():
            for part in self.parts():
                try:
                    there = part.find() is not None
                    part.remove() if there else None
                except NotOursError as error:
                    print(f"left alone: {error}", file=sys.stderr)
                else:
                    print(f"{part.name}: {'removed' if there else 'not there'}")
        print(f"nothing that make deploy made for {self.name} is left in {self.account.region}")

    def check(self, number: str, version: str) -> None:
        """Ask a version of the function.

        Raises
        ------
        UserError
            If it does not answer as the bundle does.
        """
        send = partial(ask, self.account.functions, self.name, number)
        code, said = send("GET", "/health/ready")
        if code != 200 or json.loads(said)["version"] != version:
            raise UserError(f"version {version} is not ready: {code} {said[:200]}")
        check(version, partial(send, "POST", "/predict"), bool(self.asked.serving.keys))

    def plan(self, version: str) -> None:
        """Tell what a deployment would make, and what it costs. AWS is not asked."""
        chosen = self.choices
        print(
            f"would put version {version} on AWS Lambda, in the region of AWS' settings:\n"
            f"  log group   /aws/lambda/{self.name}, kept for {chosen.log_days} days\n"
            f"  role        {self.name}-REGION, which may write to that log and nothing else\n"
            f"  repository  {self.name}, with the images of the last {chosen.keep} versions\n"
            f"  function    {self.name}, {chosen.memory} MB, {chosen.timeout} s, at most "
            f"{chosen.throttle} at once\n"
            f"  version     with the image, tried before the alias `live` moves to it\n"
            f"  URL         of that alias, open to everybody"
            f"{' who has a key' if self.asked.serving.keys else ', without a key'}\n"
            f"{table(chosen.memory, chosen.throttle)}"
        )


def answers(url: str) -> None:
    """Ask the URL, as everybody will.

    Raises
    ------
    UserError
        If it does not answer.
    """
    limit = time.monotonic() + PATIENCE
    while True:
        try:
            urlopen(f"{url.rstrip('/')}/health/ready", timeout=30).close()
        except OSError as error:
            why: Any = f"{error.code} {error.reason}" if isinstance(error, HTTPError) else error
            if time.monotonic() > limit:
                raise UserError(f"it is deployed, but {url} does not answer: {why}") from None
            time.sleep(1)
        else:
            return
