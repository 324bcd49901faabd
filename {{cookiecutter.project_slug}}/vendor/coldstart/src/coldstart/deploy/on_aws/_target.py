"""Deployment to AWS Lambda, in steps each of which may fail and be repeated."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.request import urlopen

from pydantic import Field

from coldstart._aws import translate_errors
from coldstart._provenance import project_name
from coldstart.bundle._bundle import registered_version, verify_bundle
from coldstart.deploy._choices import TargetChoices
from coldstart.deploy._keys import PUBLIC, VARIABLE, keep_or_make_keys
from coldstart.deploy._smoke import check_prediction
from coldstart.deploy._targets import DeployRequest
from coldstart.deploy.on_aws._account import Account
from coldstart.deploy.on_aws._cost import format_costs, total
from coldstart.deploy.on_aws._function import Function, version_before
from coldstart.deploy.on_aws._invoke import invoke
from coldstart.errors import UserError
from coldstart.images._building import CHAMPION

CHOICES = Path("infra/deploy/aws.yaml")
KEY_BYTES = 3_500  # for hashes of keys; Lambda's environment has 4 KB
TIMEOUT = 60  # seconds until a new URL is known everywhere
# What a repository, a function and a role, whose name has the region as well, may be called.
NAME, MIN_LENGTH, MAX_LENGTH = r"[a-z0-9]+([_-][a-z0-9]+)*", 2, 44
# How long CloudWatch can keep a log, up to a year.
Days = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365]


class Choices(TargetChoices):
    """Content of infra/deploy/aws.yaml."""

    memory: int = Field(1024, ge=128, le=10_240)
    timeout: int = Field(40, ge=1, le=900)
    throttle: int = Field(5, ge=1)
    log_days: Days = 14
    keep: int = Field(5, ge=2)


class DeployTarget:
    """AWS Lambda: a function, whose alias `live` names the version that the URL serves."""

    def __init__(self, request: DeployRequest) -> None:
        if request.host or request.port:
            raise UserError("ON=aws takes no HOST and no PORT: AWS chooses the URL")
        self.choices = Choices.load(CHOICES)
        self.request, self.name = request, project_name()
        keys = request.settings.serving.keys
        if keys and request.public:
            raise UserError(f"PUBLIC=yes requires no key, and serving.keys is {keys}: choose one")
        self.keys = keys or Path("keys.txt")  # where make key writes
        if not re.fullmatch(NAME, self.name) or not MIN_LENGTH <= len(self.name) <= MAX_LENGTH:
            raise UserError(
                f"{self.name!r} is not a valid name at AWS: {MIN_LENGTH} to {MAX_LENGTH} lowercase "
                "letters and digits, with single hyphens between them (pyproject.toml)"
            )
        if not request.dry_run:
            self.connect()

    def connect(self) -> None:
        """Make the clients of the account. Nothing is requested yet."""
        self.account = Account(self.name)
        self.function = Function(self.account)

    def deploy(self) -> None:
        """Publish the champion beside the live version, test it, and make it live."""
        version = registered_version(CHAMPION).get("version", "unregistered")
        if self.request.dry_run:
            self.print_plan(version)
            return
        verify_bundle(CHAMPION)
        with translate_errors():
            environment = self.environment()  # to create nothing if the function is another's
            made = self.account.prepare(self.choices.log_days)
            image = self.account.push_image(made["Images"], version)
            alias = self.function.alias()
            settings = {
                "MemorySize": self.choices.memory,
                "Timeout": self.choices.timeout,
                "Role": made["FunctionRole"],
                "Environment": {"Variables": environment},
            }
            new = self.function.publish(image, settings, version)
            self.function.throttle(self.choices.throttle)
            self.check(new, version, not self.request.public)
            self.function.switch(new, alias)
            url = self.function.open()
            self.account.delete_images(self.function.delete_old(self.choices.keep))
        wait_for_url(url)
        print(f"version {version} serves at {url}")

    def environment(self) -> dict[str, str]:
        """Return the variables by which the function requires a key, or none."""
        found = self.function.find()
        if self.request.public:
            most = f"{total(*self.costs()):,.2f} USD"
            print(f"WARNING: anyone can use the API, at most for {most} a month: see DRY=1")
            return {PUBLIC: "yes"}
        deployed = variables(found["Configuration"]) if found else {}
        return keep_or_make_keys(self.keys, deployed.get(VARIABLE, ""), KEY_BYTES)

    def rollback(self) -> None:
        """Make the version before the live one live again."""
        with translate_errors():
            alias = (self.function.find() and self.function.alias()) or {}
            old = version_before(alias)
            if old is None:
                raise UserError("there is no version before this one; make deploy brings one")
            versions = {one["Version"]: one for one in self.function.versions()}
            if old not in versions:
                raise UserError(
                    f"the function's version {old}, which was live before, was deleted: "
                    "make deploy publishes the champion"
                )
            model = versions[old]["Description"]
            needs_key = VARIABLE in variables(versions[old])
            if not needs_key and not self.request.public:
                raise UserError(
                    f"version {model}, which was live before, requires no key: ROLLBACK=1 "
                    "PUBLIC=yes opens the API to everybody"
                )
            self.check(old, model, needs_key)
            self.function.switch(old, alias)
            print(f"version {model} serves at {self.function.url()} again")

    def status(self) -> None:
        """Print the published versions."""
        with translate_errors():
            if self.function.find() is None:
                print(f"{self.name} is not deployed in {self.account.region}")
                return
            alias = self.function.alias() or {}
            for one in self.function.versions():
                at = dt.datetime.fromisoformat(one["LastModified"]).isoformat(" ", "seconds")
                live = one["Version"] == alias.get("FunctionVersion")
                state = f"serves at {self.function.url()}" if live else "published"
                if one["Version"] == version_before(alias):
                    state = "for ROLLBACK=1"
                model, number = one["Description"], one["Version"]
                print(f"version {model} of {at}, the function's {number}: {state}")

    def fetch(self) -> None:
        """Refuse: there is no prediction log."""
        raise UserError("Lambda keeps no prediction log: an instance has no disk that lasts")

    def down(self) -> None:
        """Remove all that a deployment has made."""
        with translate_errors():
            if self.function.find() is not None:
                self.function.remove()
                print(f"{self.function.name}: removed")
            state = "removed" if self.account.remove() else "does not exist"
            print(f"stack {self.account.stack.name}: {state}")
        print(f"nothing that make deploy made for {self.name} is left in {self.account.region}")

    def check(self, number: str, version: str, needs_key: bool) -> None:
        """Test a version of the function.

        Raises
        ------
        UserError
            If it is not ready, or does not predict as the bundle does.
        """
        send = partial(invoke, self.account.functions, self.name, number)
        code, body = send("GET", "/health/ready")
        if code != 200 or json.loads(body)["version"] != version:
            raise UserError(f"version {version} is not ready: {code} {body[:200]}")
        check_prediction(version, partial(send, "POST", "/predict"), needs_key)

    def costs(self) -> tuple[int, int, int, int, bool]:
        """Return what the costs depend on."""
        chosen = self.choices
        return chosen.memory, chosen.throttle, chosen.keep, chosen.log_days, self.request.public

    def print_plan(self, version: str) -> None:
        """Print what a deployment would make, and what it costs. AWS is not asked."""
        chosen = self.choices
        access = "for anyone" if self.request.public else "for clients with a key"
        print(
            f"would deploy version {version} to AWS Lambda, in the region of the AWS settings:\n"
            f"  stack       {self.name}-deploy, of infra/deploy/stack.yaml:\n"
            f"  log group   /aws/lambda/{self.name}, kept for {chosen.log_days} days\n"
            f"  role        {self.name}-REGION, which may write to that log group only\n"
            f"  repository  {self.name}, with the images of the last {chosen.keep} versions\n"
            f"  function    {self.name}, {chosen.memory} MB, {chosen.timeout} s, at most "
            f"{chosen.throttle} instances\n"
            f"  version     with the image, tested before the alias `live` moves to it\n"
            f"  URL         of that alias, {access}\n"
            f"{format_costs(*self.costs())}"
        )


def variables(configuration: dict[str, Any]) -> dict[str, str]:
    """Return the variables of a version, which AWS leaves out if there are none."""
    return dict(configuration.get("Environment", {}).get("Variables", {}))


def wait_for_url(url: str) -> None:
    """Wait until a URL responds.

    Raises
    ------
    UserError
        If it does not.
    """
    limit = time.monotonic() + TIMEOUT
    while True:
        try:
            urlopen(f"{url.rstrip('/')}/health/ready", timeout=30).close()
        except OSError as error:
            reason: Any = f"{error.code} {error.reason}" if isinstance(error, HTTPError) else error
            if time.monotonic() > limit:
                raise UserError(f"deployed, but {url} does not respond: {reason}") from None
            time.sleep(1)
        else:
            return
