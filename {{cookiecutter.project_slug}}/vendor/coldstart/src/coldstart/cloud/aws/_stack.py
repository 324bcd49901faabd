"""A stack of CloudFormation's: applied, waited for with its progress shown, removed."""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ClientError

from coldstart.cloud.aws._calls import client, pages
from coldstart.errors import UserError

PATIENCE = 1800.0  # seconds until AWS has made, changed or removed it
PAUSE = 3.0  # seconds
# A stack in one of these can only be deleted.
WRECKS = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "REVIEW_IN_PROGRESS",
          "DELETE_FAILED")  # fmt: skip
GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE")


class Stack:
    """A stack of a name, there or not, in the region that AWS' own settings name."""

    def __init__(self, name: str) -> None:
        self.name, self.client = name, client("cloudformation")
        self.told = set[str]()  # events that were printed, or that were there before

    def find(self) -> dict[str, Any] | None:
        """What AWS says of it, or None."""
        try:
            (found,) = self.client.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else dict(found)

    def is_wreck(self) -> bool:
        """Whether an attempt has failed and left what can only be deleted."""
        found = self.find()
        return found is not None and found["StackStatus"] in WRECKS

    def outputs(self) -> dict[str, str]:
        """What it tells of itself."""
        outputs = (self.find() or {}).get("Outputs", ())
        return {one["OutputKey"]: one["OutputValue"] for one in outputs}

    def apply(self, template: str, given: dict[str, Any], tags: dict[str, str]) -> None:
        """Make it, or change it to be as the template says.

        Parameters
        ----------
        given
            Parameters; for None what was given before stays, and else the template's default.

        Raises
        ------
        UserError
            If AWS does not bring it about.
        """
        found = self.wait()
        before = {one["ParameterKey"] for one in (found or {}).get("Parameters", ())}
        parameters = [
            {"ParameterKey": key, "UsePreviousValue": True}
            if value is None
            else {"ParameterKey": key, "ParameterValue": f"{value}".removesuffix(".0")}
            for key, value in given.items()
            if value is not None or key in before
        ]
        asked = {
            "StackName": self.name,
            "TemplateBody": template,
            "Parameters": parameters,
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }
        self.told |= {event["EventId"] for event in self.events()}
        try:
            self.client.update_stack(**asked) if found else self.client.create_stack(**asked)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
            print(f"{self.name}: is as it should be")
            return
        print(f"{self.name}: {'updating' if found else 'making'} it", flush=True)
        made = self.wait()
        if made is None or made["StackStatus"] not in GOOD:
            raise UserError(f"the stack {self.name} was not brought about: {self.why(made)}")
        print(f"{self.name}: done")

    def delete(self) -> None:
        """Remove it; it may be gone already.

        Raises
        ------
        UserError
            If AWS cannot.
        """
        found = self.wait()
        if found is None:
            return
        self.told |= {event["EventId"] for event in self.events()}
        self.client.delete_stack(StackName=self.name)
        left = self.wait()
        if left is not None:
            raise UserError(f"the stack {self.name} was not removed: {self.why(left)}")

    def wait(self) -> dict[str, Any] | None:
        """Wait while AWS is at work on it, and tell of each part that is done.

        Raises
        ------
        UserError
            If it takes too long.
        """
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found = self.find()
            if found is None:
                return None
            self.tell()
            status = found["StackStatus"]
            if not status.endswith("_IN_PROGRESS") or status in WRECKS:
                return found
            time.sleep(PAUSE)
        raise UserError(f"the stack {self.name} is {status} still: see it in AWS' console")

    def events(self) -> list[dict[str, Any]]:
        """What happened to it and its parts, the newest first."""
        if not self.find():
            return []
        found = pages(self.client, "describe_stack_events", StackName=self.name)
        return [event for page in found for event in page["StackEvents"]]

    def tell(self) -> None:
        """Print what happened since."""
        for event in reversed(self.events()):
            if event["EventId"] in self.told:
                continue
            self.told.add(event["EventId"])
            part, status = event["LogicalResourceId"], event["ResourceStatus"]
            if part != self.name and not status.endswith("_IN_PROGRESS"):
                print(f"  {part}: {status.lower().replace('_', ' ')}", flush=True)

    def why(self, found: dict[str, Any] | None) -> str:
        """The first failure of the last attempt, as AWS words it."""
        reasons = []
        for event in self.events():
            said = " ".join(event.get("ResourceStatusReason", "").split())
            if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in said:
                reasons.append(f"{event['LogicalResourceId']}: {said}")
            started = event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS",
                                                "DELETE_IN_PROGRESS")  # fmt: skip
            if event["LogicalResourceId"] == self.name and started:
                break
        if reasons:
            return reasons[-1]
        found = found or {}
        return str(found.get("StackStatusReason") or found.get("StackStatus") or "it is gone")
