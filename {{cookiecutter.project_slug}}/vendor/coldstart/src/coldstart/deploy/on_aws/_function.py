"""The Lambda function: its versions, the alias of the one that is live, and its URL."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from coldstart._aws import ignore_errors
from coldstart.deploy.on_aws._account import TAG, Account, Image
from coldstart.errors import UserError

LIVE = "live"
# In the alias's description, followed by the version that was live before this one.
BEFORE = "before "
MISSING = "ResourceNotFoundException"
# Permissions for everyone to use the URL. Since October 2025 both of them are needed.
PUBLIC: dict[str, dict[str, Any]] = {
    "url": {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
    "invoke": {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
}


class Function:
    """The function of a project. A published version does not change."""

    def __init__(self, account: Account) -> None:
        self.account, self.client = account, account.functions
        self.name = f"function {account.name}"
        self.key = {"FunctionName": account.name}

    def find(self) -> dict[str, Any] | None:
        """Return AWS' description of it, or None.

        Raises
        ------
        UserError
            If it is another's.
        """
        with ignore_errors(MISSING):
            found = self.client.get_function(**self.key)
            if not self.account.tags.items() <= found.get("Tags", {}).items():
                raise UserError(
                    f"{self.name} exists, and make deploy did not create it: it has no tag "
                    f"{TAG}={self.account.name}; remove it, or rename the project (pyproject.toml)"
                )
            return dict(found)
        return None

    def publish(self, image: Image, settings: dict[str, Any], model: str) -> str:
        """Publish a version with an image and settings, and return its number.

        The model's version becomes its description. If nothing has changed, it is the newest one.

        Raises
        ------
        UserError
            If another deployment interferes.
        """
        found, digest = self.find(), image.uri.partition("@")[2]
        if found is None:
            with ignore_errors("ResourceConflictException"):
                self.client.create_function(
                    **self.key,
                    PackageType="Image",
                    Code={"ImageUri": image.uri},
                    Architectures=[image.architecture],
                    Tags=self.account.tags,
                    **settings,
                )
        else:
            self.wait("function_updated_v2")  # an interrupted deployment may be in progress
            now = found["Configuration"]
            now.setdefault("Environment", {"Variables": dict[str, str]()})  # absent if empty
            if any(now[key] != value for key, value in settings.items()):
                self.client.update_function_configuration(**self.key, **settings)
                self.wait("function_updated_v2")
            if self.digest() != digest:
                self.client.update_function_code(
                    **self.key, ImageUri=image.uri, Architectures=[image.architecture]
                )
        self.wait("function_active_v2")
        self.wait("function_updated_v2")
        found = self.find()
        if found is None or self.digest() != digest:
            raise UserError("another deployment interferes; try again")
        published = self.client.publish_version(
            **self.key, CodeSha256=found["Configuration"]["CodeSha256"], Description=model
        )
        self.wait("published_version_active", Qualifier=published["Version"])
        return str(published["Version"])

    def throttle(self, instances: int) -> None:
        """Limit how many instances run at a time, if the account has as many."""
        try:
            self.client.put_function_concurrency(**self.key, ReservedConcurrentExecutions=instances)
        except ClientError as error:
            if "UnreservedConcurrentExecution" not in str(error):
                raise
            print(
                f"note: this account cannot reserve {instances} instances, so the function may use "
                "all that the account has (10 in a new one), and cost as many times more"
            )

    def alias(self) -> dict[str, Any] | None:
        """Return the alias, or None."""
        with ignore_errors(MISSING):
            return dict(self.client.get_alias(**self.key, Name=LIVE))
        return None

    def switch(self, version: str, alias: dict[str, Any] | None) -> None:
        """Send all requests to a version, from now on.

        If the alias has changed since `alias` was read, AWS refuses.

        Raises
        ------
        UserError
            If another deployment has created it meanwhile.
        """
        if alias is None:
            with ignore_errors("ResourceConflictException"):
                self.client.create_alias(**self.key, Name=LIVE, FunctionVersion=version)
            if (self.alias() or {}).get("FunctionVersion") != version:
                raise UserError("another deployment interferes; try again")
        elif alias["FunctionVersion"] != version:
            self.client.update_alias(
                **self.key,
                Name=LIVE,
                FunctionVersion=version,
                Description=BEFORE + alias["FunctionVersion"],
                **({"RevisionId": alias["RevisionId"]} if "RevisionId" in alias else {}),
            )

    def url(self) -> str | None:
        """Return the URL of the alias, or None."""
        with ignore_errors(MISSING):
            found = self.client.get_function_url_config(**self.key, Qualifier=LIVE)
            return str(found["FunctionUrl"])
        return None

    def open(self) -> str:
        """Make the URL public, and return it."""
        for name, permission in PUBLIC.items():
            with ignore_errors("ResourceConflictException"):  # it was given before
                self.client.add_permission(
                    **self.key, Qualifier=LIVE, StatementId=name, Principal="*", **permission
                )
        if self.url() is None:
            with ignore_errors("ResourceConflictException"):
                self.client.create_function_url_config(**self.key, Qualifier=LIVE, AuthType="NONE")
        url = self.url()
        assert url is not None
        return url

    def versions(self) -> list[dict[str, Any]]:
        """Return the published versions that exist, the newest first."""
        pages = self.client.get_paginator("list_versions_by_function").paginate(**self.key)
        found = [one for page in pages for one in page["Versions"] if one["Version"].isdecimal()]
        return sorted(found, key=lambda one: -int(one["Version"]))

    def delete_old(self, keep: int) -> set[str]:
        """Delete old versions, except the one that is live and the one before it.

        Return the digests of the images that are still needed.
        """
        alias = self.alias() or {}
        needed = {alias.get("FunctionVersion"), version_before(alias)}
        digests = {self.digest()}
        for number, one in enumerate(self.versions()):
            if number < keep or one["Version"] in needed:
                digests.add(self.digest(one["Version"]))
            else:
                with ignore_errors(MISSING):
                    self.client.delete_function(**self.key, Qualifier=one["Version"])
        return digests

    def digest(self, version: str = "$LATEST") -> str:
        """Return the digest of a version's image, or of the newest state's."""
        found = self.client.get_function(**self.key, Qualifier=version)
        return str(found["Code"].get("ResolvedImageUri", "")).rpartition("@")[2]

    def remove(self) -> None:
        """Delete it with its versions, its alias and its URL. It may not exist."""
        with ignore_errors(MISSING):
            self.client.delete_function(**self.key)

    def wait(self, until: str, **which: str) -> None:
        """Wait until the function has reached a state, as boto3's waiters name them."""
        waiter = self.client.get_waiter(until)
        waiter.wait(**self.key, **which, WaiterConfig={"Delay": 1, "MaxAttempts": 300})


def version_before(alias: dict[str, Any]) -> str | None:
    """Return the version that was live before the present one, or None."""
    description = str(alias.get("Description", ""))
    return description.removeprefix(BEFORE) if description.startswith(BEFORE) else None
