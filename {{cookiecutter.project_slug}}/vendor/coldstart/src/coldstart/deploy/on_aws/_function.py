"""The function: its versions, the alias that says which of them is live, and its URL."""

from __future__ import annotations

import json
import time
from typing import Any

from botocore.exceptions import ClientError

from coldstart.deploy.on_aws._account import Account, code, expecting
from coldstart.deploy.on_aws._image import Image
from coldstart.errors import UserError

LIVE = "live"
BEFORE = "before "  # in the alias's description, with the version that was live before this one
PATIENCE = 60  # seconds until a new role is known everywhere
MISSING = "ResourceNotFoundException"
# Who may ask: everybody, by the URL alone. Since October 2025 both of them are needed.
PUBLIC: dict[str, dict[str, Any]] = {
    "url": {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
    "invoke": {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
}


class Function:
    """The function of a project. What is published as a version does not change any more."""

    def __init__(self, account: Account) -> None:
        self.account, self.client = account, account.functions
        self.name = f"function {account.name}"
        self.about = {"FunctionName": account.name}

    def find(self) -> dict[str, Any] | None:
        with expecting(MISSING):
            found = self.client.get_function(**self.about)
            self.account.check(self.name, found.get("Tags", {}))
            return dict(found)
        return None

    def publish(self, image: Image, settings: dict[str, Any], model: str) -> str:
        """Have a version with that image and those settings.

        Parameters
        ----------
        model
            The model's own version, which the function's tells.

        Returns
        -------
        str
            Its number: that of the newest, if it is the same.

        Raises
        ------
        UserError
            If another deployment has come in between.
        """
        found = self.find()
        if found is None:
            self.create(image, settings)
        else:
            self.wait("function_updated_v2")  # a deployment that was cut off may be under way
            now = found["Configuration"]
            now.setdefault("Environment", {"Variables": dict[str, str]()})  # absent if empty
            if any(now[key] != value for key, value in settings.items()):
                self.client.update_function_configuration(**self.about, **settings)
                self.wait("function_updated_v2")
            if not self.runs(image, found):
                self.client.update_function_code(
                    **self.about, ImageUri=image.uri, Architectures=[image.architecture]
                )
        self.wait("function_active_v2")
        self.wait("function_updated_v2")
        found = self.find()
        if found is None or not self.runs(image, found):
            raise UserError("another deployment has come in between; try again")
        published = self.client.publish_version(
            **self.about, CodeSha256=found["Configuration"]["CodeSha256"], Description=model
        )
        self.wait("published_version_active", Qualifier=published["Version"])
        return str(published["Version"])

    def create(self, image: Image, settings: dict[str, Any]) -> None:
        """Make it; AWS refuses for some seconds, until the new role is known everywhere."""
        limit = time.monotonic() + PATIENCE
        while True:
            try:
                with expecting("ResourceConflictException"):  # it is there already
                    self.client.create_function(
                        **self.about,
                        PackageType="Image",
                        Code={"ImageUri": image.uri},
                        Architectures=[image.architecture],
                        Tags=self.account.tags,
                        **settings,
                    )
            except ClientError as error:
                unknown = code(error) == "InvalidParameterValueException" and "role" in str(error)
                if not unknown or time.monotonic() > limit:
                    raise
                time.sleep(1)
            else:
                return

    def runs(self, image: Image, found: dict[str, Any]) -> bool:
        """Whether the newest state of the function has that image."""
        return str(found["Code"].get("ResolvedImageUri", "")).endswith(image.digest)

    def throttle(self, at_once: int) -> None:
        """Let so many instances run at most, if the account has so many to give."""
        try:
            self.client.put_function_concurrency(**self.about, ReservedConcurrentExecutions=at_once)
        except ClientError as error:
            if "UnreservedConcurrentExecution" not in str(error):
                raise
            print(
                f"note: this account cannot set {at_once} instances aside (new accounts run 10 in "
                "all, which is a throttle too): the function goes without a throttle of its own"
            )

    def alias(self) -> dict[str, Any] | None:
        """The alias, or None."""
        with expecting(MISSING):
            return dict(self.client.get_alias(**self.about, Name=LIVE))
        return None

    def switch(self, version: str, alias: dict[str, Any] | None) -> None:
        """Let a version be live, at once and for all requests.

        Parameters
        ----------
        alias
            As it was when this deployment began; where it has changed since, AWS refuses.

        Raises
        ------
        UserError
            If another deployment has made it meanwhile.
        """
        if alias is None:
            with expecting("ResourceConflictException"):
                self.client.create_alias(**self.about, Name=LIVE, FunctionVersion=version)
            if (self.alias() or {}).get("FunctionVersion") != version:
                raise UserError("another deployment has come in between; try again")
        elif alias["FunctionVersion"] != version:
            self.client.update_alias(
                **self.about,
                Name=LIVE,
                FunctionVersion=version,
                Description=BEFORE + alias["FunctionVersion"],
                **({"RevisionId": alias["RevisionId"]} if "RevisionId" in alias else {}),
            )

    def url(self) -> str | None:
        """The URL of the alias, or None."""
        with expecting(MISSING):
            found = self.client.get_function_url_config(**self.about, Qualifier=LIVE)
            return str(found["FunctionUrl"])
        return None

    def open(self) -> str:
        """Have a URL that everybody may ask; return it."""
        held = set()
        with expecting(MISSING):
            policy = self.client.get_policy(**self.about, Qualifier=LIVE)["Policy"]
            held = {statement["Sid"] for statement in json.loads(policy)["Statement"]}
        for name in PUBLIC.keys() - held:
            with expecting("ResourceConflictException"):
                self.client.add_permission(
                    **self.about,
                    Qualifier=LIVE,
                    StatementId=name,
                    Principal="*",
                    **PUBLIC[name],
                )
        if self.url() is None:
            with expecting("ResourceConflictException"):
                self.client.create_function_url_config(
                    **self.about, Qualifier=LIVE, AuthType="NONE"
                )
        url = self.url()
        assert url is not None
        return url

    def versions(self) -> list[dict[str, Any]]:
        """What was published and is still there, the newest first."""
        pages = self.client.get_paginator("list_versions_by_function").paginate(**self.about)
        found = [one for page in pages for one in page["Versions"] if one["Version"].isdecimal()]
        return sorted(found, key=lambda one: -int(one["Version"]))

    def forget(self, keep: int) -> set[str]:
        """Delete old versions, but what is live or was before.

        Returns
        -------
        set of str
            Digests of the images that are still needed.
        """
        alias = self.alias() or {}
        needed = {alias.get("FunctionVersion"), before(alias)}
        digests = {self.digest("$LATEST")}
        for number, one in enumerate(self.versions()):
            if number < keep or one["Version"] in needed:
                digests.add(self.digest(one["Version"]))
            else:
                with expecting(MISSING):
                    self.client.delete_function(**self.about, Qualifier=one["Version"])
        return digests

    def digest(self, version: str) -> str:
        """Digest of a version's image."""
        found = self.client.get_function(**self.about, Qualifier=version)
        return str(found["Code"].get("ResolvedImageUri", "")).rpartition("@")[2]

    def remove(self) -> None:
        with expecting(MISSING):
            self.client.delete_function_url_config(**self.about, Qualifier=LIVE)
        with expecting(MISSING):
            self.client.delete_alias(**self.about, Name=LIVE)
        with expecting(MISSING):
            self.client.delete_function(**self.about)

    def wait(self, until: str, **which: str) -> None:
        """Wait until the function has come so far."""
        waiter = self.client.get_waiter(until)
        waiter.wait(**self.about, **which, WaiterConfig={"Delay": 1, "MaxAttempts": 300})


def before(alias: dict[str, Any]) -> str | None:
    """Version that was live before the one that is."""
    said = str(alias.get("Description", ""))
    return said.removeprefix(BEFORE) if said.startswith(BEFORE) else None
