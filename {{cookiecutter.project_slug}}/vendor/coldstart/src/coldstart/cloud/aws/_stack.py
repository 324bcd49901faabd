"""A CloudFormation stack: create or update it, delete it."""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ClientError

from coldstart._aws import client, pages
from coldstart.errors import UserError

TIMEOUT = 1800.0  # seconds until AWS has created, updated or deleted it
POLL_SECONDS = 3.0
# A stack in one of these states can only be deleted.
BROKEN = (
    "ROLLBACK_COMPLETE",
    "ROLLBACK_FAILED",
    "CREATE_FAILED",
    "REVIEW_IN_PROGRESS",
    "DELETE_FAILED",
)
COMPLETE = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
STARTED = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")


class Stack:
    """A stack in the region of the AWS settings, which may not exist."""

    def __init__(self, name: str) -> None:
        self.name, self.client = name, client("cloudformation")

    def find(self) -> dict[str, Any] | None:
        """Return AWS' description of it, or None if it does not exist."""
        try:
            (found,) = self.client.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else dict(found)

    def outputs(self) -> dict[str, str]:
        """Return its outputs."""
        outputs = (self.find() or {}).get("Outputs", ())
        return {one["OutputKey"]: one["OutputValue"] for one in outputs}

    def template(self) -> str:
        """Return its template."""
        return str(self.client.get_template(StackName=self.name)["TemplateBody"])

    def apply(self, template: str, given: dict[str, Any], tags: dict[str, str]) -> None:
        """Create it, or update it to be as the template says.

        A parameter of None keeps the last value, or else has the template's default.

        Raises
        ------
        UserError
            If AWS fails to do so.
        """
        found = self.wait()
        if found and found["StackStatus"] in BROKEN:
            print(f"{self.name}: removing what a failed attempt has left")
            self.delete()
            found = None
        before = {one["ParameterKey"] for one in (found or {}).get("Parameters", ())}
        parameters = [
            {"ParameterKey": key, "UsePreviousValue": True}
            if value is None
            else {"ParameterKey": key, "ParameterValue": f"{value}".removesuffix(".0")}
            for key, value in given.items()
            if value is not None or key in before
        ]
        arguments = {
            "StackName": self.name,
            "TemplateBody": template,
            "Parameters": parameters,
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }
        try:
            if found:
                self.client.update_stack(**arguments)
            else:
                self.client.create_stack(**arguments)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
            print(f"{self.name}: up to date")
            return
        print(f"{self.name}: {'updating' if found else 'creating'}", flush=True)
        made = self.wait()
        if made is None or made["StackStatus"] not in COMPLETE:
            verb = "updated" if found else "created"
            raise UserError(f"the stack {self.name} was not {verb}: {self.first_failure(made)}")
        print(f"{self.name}: done")

    def delete(self) -> None:
        """Delete it. It may not exist.

        Raises
        ------
        UserError
            If AWS fails to do so.
        """
        found = self.wait()
        if found is None:
            return
        self.client.delete_stack(StackName=self.name)
        left = self.wait()
        if left is not None:
            raise UserError(f"the stack {self.name} was not removed: {self.first_failure(left)}")

    def wait(self) -> dict[str, Any] | None:
        """Wait while AWS is changing it, and return its description.

        Raises
        ------
        UserError
            If it takes too long.
        """
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            found = self.find()
            if found is None:
                return None
            status = found["StackStatus"]
            if not status.endswith("_IN_PROGRESS") or status in BROKEN:
                return found
            time.sleep(POLL_SECONDS)
        raise UserError(f"the stack {self.name} is still {status}: see the AWS console")

    def first_failure(self, found: dict[str, Any] | None) -> str:
        """Return the first failure of the last attempt, in AWS' words."""
        if found is None:
            return "it is gone"
        first = str(found.get("StackStatusReason") or found["StackStatus"])
        listed = pages(self.client, "describe_stack_events", StackName=self.name)
        for event in (one for page in listed for one in page["StackEvents"]):  # the newest first
            part, status = event["LogicalResourceId"], event["ResourceStatus"]
            reason = " ".join(event.get("ResourceStatusReason", "").split())
            if part == self.name and status in STARTED:
                break
            if status.endswith("_FAILED") and "cancelled" not in reason:
                first = f"{part}: {reason}"
        return first
