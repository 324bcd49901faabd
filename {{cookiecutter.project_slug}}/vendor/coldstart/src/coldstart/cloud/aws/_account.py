"""What renting needs in the account: CloudFormation makes, updates and removes it as a whole."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from coldstart.cloud._confirm import agreed
from coldstart.cloud._labels import PROJECT, project
from coldstart.cloud.aws._bucket import Bucket
from coldstart.cloud.aws._calls import pairs, told
from coldstart.cloud.aws._stack import Stack
from coldstart.cloud.aws._sweep import find_all, line, regions
from coldstart.errors import UserError

TEMPLATE = Path("infra/aws/account.yaml")
# Where in infra/train.sky.yaml or in SkyPilot's settings an output of the stack belongs.
BELONGS = """\
into infra/train.sky.yaml, below envs:
  STORE: {Store}
  IMAGE: {Image}
into infra/sky.config.yaml, SkyPilot's settings:
  aws:
    remote_identity: {Profile}
    enforce_tags: [volume]
whoever launches, if not an administrator:
  aws iam attach-user-policy --policy-arn {Launcher} --user-name ..."""


def profile_name(name: str) -> str:
    """The machine's instance profile, as infra/aws/account.yaml calls it."""
    return f"{name}-train"


def find_stack(name: str) -> Stack:
    """The project's stack, there or not.

    Raises
    ------
    UserError
        If another's has its name.
    """
    stack = Stack(profile_name(name).replace("_", "-").replace(".", "-"))
    found = stack.find()
    if found and pairs(found.get("Tags")).get(PROJECT) != name:
        raise UserError(
            f"the stack {stack.name} is there already, without a tag {PROJECT}={name}: it was not "
            "made by make cloud-bootstrap; give the project another name (pyproject.toml)"
        )
    return stack


def bootstrap(email: str | None, dollars: float | None) -> None:
    """Make or update the stack, and print what of it is to be written where.

    Raises
    ------
    UserError
        If the alarm's address is missing, or AWS refuses something.
    """
    name = project()
    if not TEMPLATE.is_file():
        raise UserError(f"{TEMPLATE} is missing, which says what is made: git checkout {TEMPLATE}")
    with told():
        stack = find_stack(name)
        if stack.is_wreck():
            print(f"{stack.name}: what an earlier attempt has left is removed first")
            stack.delete()
        given: dict[str, Any] = {"Project": name, "Email": email, "Budget": dollars}
        if not stack.find() and not email:
            raise UserError("whom should the alarm tell when the budget is spent? EMAIL=me@x")
        stack.apply(TEMPLATE.read_text(encoding="utf-8"), given, {PROJECT: name})
        print(BELONGS.format(**stack.outputs()))
    if email:
        print(f"{email} gets an e-mail at 50, 80 and 100 % of the budget of the whole account")


def destroy(yes: bool) -> None:
    """Remove the stack and what is in its bucket, once nothing runs that needs it.

    Raises
    ------
    UserError
        If machines of this project are there, the answer is not yes, or AWS refuses something.
    """
    name = project()
    with told():
        stack = find_stack(name)
        if not stack.find():
            print(f"{stack.name}: not there")
            return
        refuse_while_used(name)
        store = stack.outputs().get("Store", "").removeprefix("s3://").partition("/")[0]
        bucket = Bucket(store) if store else None
        objects, size = bucket.content() if bucket else (0, 0)
        held = f" and {objects} objects ({size / 1e6:.1f} MB) in s3://{store}" if objects else ""
        if not agreed(yes, f"remove the stack {stack.name} with roles, images, budget{held}?"):
            raise UserError("nothing was removed")
        if bucket:
            bucket.empty()
        stack.delete()
    print(f"{stack.name}: removed")


def refuse_while_used(name: str) -> None:
    """See that no machine is there: without its role it could not end itself.

    Raises
    ------
    UserError
        If one is, or a region could not be asked.
    """
    found, deaf = find_all(regions(), name)
    for one in found:
        print(line(one, time.time()))
    if found:
        raise UserError("these need what would be removed: make cloud-sweep ALL=1 ends them")
    if deaf:
        region, why = next(iter(deaf.items()))
        raise UserError(f"{region} could not be asked whether machines are there: {why}")
