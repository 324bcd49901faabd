"""What training on AWS needs in the account. CloudFormation makes and removes it as a whole."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from coldstart._aws import tags_as_dict, translate_errors
from coldstart._provenance import project_name
from coldstart.cloud._job import PROJECT
from coldstart.cloud._plan import confirm
from coldstart.cloud.aws._bucket import Bucket
from coldstart.cloud.aws._stack import Stack
from coldstart.cloud.aws._sweep import describe, find_all, regions
from coldstart.errors import UserError

TEMPLATE = Path("infra/aws/account.yaml")
# Where the stack's outputs belong.
INSTRUCTIONS = """\
into infra/train.sky.yaml, below envs:
  STORE: {Store}
into infra/sky.config.yaml, SkyPilot's settings:
  aws:
    remote_identity: {Profile}
    enforce_tags: [volume]
for each user who launches and is not an administrator:
  aws iam attach-user-policy --policy-arn {Launcher} --user-name ..."""


def profile_name(project: str) -> str:
    """Return the name of the machines' instance profile, as infra/aws/account.yaml has it."""
    return f"{project}-train"


def find_stack(project: str) -> Stack:
    """Return the project's stack, which may not exist.

    Raises
    ------
    UserError
        If another stack has its name.
    """
    stack = Stack(profile_name(project).replace("_", "-").replace(".", "-"))
    found = stack.find()
    if found and tags_as_dict(found.get("Tags")).get(PROJECT) != project:
        raise UserError(
            f"a stack {stack.name} exists without the tag {PROJECT}={project}: make "
            "cloud-bootstrap did not create it. Give the project another name (pyproject.toml)"
        )
    return stack


def bootstrap(email: str | None, dollars: float | None, launchers: str | None = None) -> None:
    """Create or update the stack, and print where its outputs belong.

    The address for alerts is needed the first time. The budget is in US dollars a month. Launchers
    may launch nothing more once it is used up: ``user/ann group/team role/ci``.

    Raises
    ------
    UserError
        If the address is missing, or AWS refuses something.
    """
    project = project_name()
    if not TEMPLATE.is_file():
        raise UserError(f"{TEMPLATE} is missing: git checkout {TEMPLATE}")
    with translate_errors():
        stack = find_stack(project)
        if not stack.outputs():  # it does not exist, or what exists is broken
            if not email:
                raise UserError("the budget needs an address for its alerts: EMAIL=me@example.org")
            launchers = launchers or ""
        parameters = {"Project": project, "Email": email, "Budget": dollars}
        parameters |= read_launchers(launchers)
        stack.apply(TEMPLATE.read_text(encoding="utf-8"), parameters, {PROJECT: project})
        print(INSTRUCTIONS.format(**stack.outputs()))
    if email:
        print(f"{email} receives an alert at 50%, 80% and 100% of the budget of the whole account")


def read_launchers(text: str | None) -> dict[str, Any]:
    """Return the stack's parameters for users, groups and roles; None leaves them as they are.

    Raises
    ------
    UserError
        If something is neither of these.
    """
    kinds: dict[str, list[str]] = {"user": [], "group": [], "role": []}
    for one in (text or "").split():
        kind, _, name = one.partition("/")
        if kind not in kinds or not name:
            raise UserError(f"LAUNCHERS: {one!r} is none of user/NAME, group/NAME, role/NAME")
        kinds[kind].append(name)
    return {
        f"{kind.capitalize()}s": None if text is None else ",".join(names)
        for kind, names in kinds.items()
    }


def destroy(yes: bool) -> None:
    """Remove the stack and the content of its bucket, unless machines need it.

    Raises
    ------
    UserError
        If machines of this project are running, the answer is not yes, or AWS refuses something.
    """
    project = project_name()
    with translate_errors():
        stack = find_stack(project)
        if not stack.find():
            print(f"{stack.name}: does not exist")
            return
        refuse_while_used(project)
        store = stack.outputs().get("Store", "").removeprefix("s3://").partition("/")[0]
        bucket = Bucket(store) if store else None
        objects, size = bucket.content() if bucket else (0, 0)
        held = f" and {objects} objects ({size / 1e6:.1f} MB) in s3://{store}" if objects else ""
        if not confirm(f"Remove the stack {stack.name} with its roles and budget{held}?", yes):
            raise UserError("nothing was removed")
        if bucket:
            bucket.empty()
        stack.delete()
    print(f"{stack.name}: removed")


def refuse_while_used(project: str) -> None:
    """Refuse while a machine is running: without its role it could not end itself.

    Raises
    ------
    UserError
        If one is, or a region could not be asked.
    """
    found, failed = find_all(regions(), project)
    for one in found:
        print(describe(one, time.time()))
    if found:
        raise UserError("these need what would be removed: make cloud-sweep ALL=1 ends them")
    if failed:
        region, reason = next(iter(failed.items()))
        raise UserError(f"{region} could not be asked for machines: {reason}")
