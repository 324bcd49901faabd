"""The sweep: what this project has anywhere on AWS, and the end of what is past its deadline.

It asks AWS alone. It needs no SkyPilot, no record of what was started, and no machine's help.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import boto3

from coldstart.cloud._confirm import agreed
from coldstart.cloud._labels import project
from coldstart.cloud._sweep_request import SweepRequest
from coldstart.cloud.aws._calls import client, told
from coldstart.cloud.aws._ending import end
from coldstart.cloud.aws._found import Found, find
from coldstart.errors import UserError

AT_ONCE = 8  # regions
ANY = "us-east-1"  # knows the others, where no region is set

T = TypeVar("T")


def sweep(asked: SweepRequest) -> int:
    """List what is there, end what is past its deadline, and say what is left.

    Returns
    -------
    1 if something past its deadline is left, or a region could not be asked; else 0.

    Raises
    ------
    UserError
        If AWS cannot be asked at all.
    """
    name, now = asked.project_name or project(), time.time()
    found, deaf = find_all(regions(), name)
    for region, why in deaf.items():
        print(f"{region}: could not be asked: {why}")
    for one in found:
        print(line(one, now))
    past = [one for one in found if asked.everything or (one.over(now) or 0) > 0]
    if not past:
        what = f"; {len(found)} not past the deadline" if found else ""
        print(f"{name}: nothing to end{what}")
        return int(bool(deaf))
    if asked.dry_run or not agreed(asked.yes, f"{name}: end {counted(past)}?"):
        return 1
    failed, still = end_all(past, name)
    for one in past:
        kept = failed.get(one.id) or still.get(one.id)
        print(f"{one.region}  {one.kind} {one.id}: {f'not ended: {kept}' if kept else 'ended'}")
    return int(bool(failed or still or deaf))


def regions() -> list[str]:
    """All regions that the account has switched on.

    Raises
    ------
    UserError
        If AWS cannot be asked.
    """
    here = boto3.Session().region_name or ANY
    with told():
        answer = client("ec2", here).describe_regions()
    return sorted(one["RegionName"] for one in answer["Regions"])


def find_all(where: Iterable[str], name: str) -> tuple[list[Found], dict[str, str]]:
    """What is there, and the regions that could not be asked, with the reason."""
    answers, deaf = in_each(where, lambda region: find(region, name))
    return [one for region in sorted(answers) for one in answers[region]], deaf


def end_all(past: list[Found], name: str) -> tuple[dict[str, str], dict[str, str]]:
    """End things; return why some could not be, and what is there still in spite of it, by id."""
    where = sorted({one.region for one in past})
    answers, deaf = in_each(where, lambda at: end(at, [one for one in past if one.region == at]))
    failed = {id: why for answer in answers.values() for id, why in answer.items()}
    left, deafer = find_all(where, name)
    still = {one.id: f"it is {one.state} still" for one in left}
    for one in past:
        if why := deaf.get(one.region) or deafer.get(one.region):
            failed.setdefault(one.id, why)
    return failed, {one.id: still[one.id] for one in past if one.id in still}


def in_each(where: Iterable[str], act: Callable[[str], T]) -> tuple[dict[str, T], dict[str, str]]:
    """Do something in each region, several at once; one that fails keeps no other from it."""

    def guarded(region: str) -> tuple[str, T | None, str]:
        try:
            with told():
                return region, act(region), ""
        except UserError as error:
            return region, None, str(error)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        done = list(threads.map(guarded, where))
    answers = {region: answer for region, answer, why in done if answer is not None}
    return answers, {region: why for region, answer, why in done if answer is None}


def line(one: Found, now: float) -> str:
    """What there is to know of one thing."""
    parts = [one.region, f"{one.kind} {one.id}", one.state]
    if one.type:
        parts.append(f"{one.type} spot" if one.spot else one.type)
    age = None if one.since is None else max(now - one.since, 0)
    if age is not None:
        parts.append(f"for {span(age)}")
    if one.kind == "instance":
        price = one.price()
        running = f"${price:.3f}/h" if price is not None else "price unknown"
        if price is not None and age is not None:
            running += f", ${price * age / 3600:.2f} so far if it ran all the time"
        parts.append(running if one.state in ("pending", "running") else "its disks bill")
    parts.append(f"job {one.job}" if one.job else "no job")
    over = one.over(now)
    if over is None:
        parts.append("no deadline: ALL=1 ends it")
    else:
        parts.append(f"{span(over)} past its deadline" if over > 0 else f"{span(-over)} to go")
        if one.deadline is None:
            parts[-1] += " (none is set: a day)"
    return "  ".join(parts)


def span(seconds: float) -> str:
    """A time as a person says it."""
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def counted(things: list[Found]) -> str:
    """How many of each kind."""
    kinds = [one.kind for one in things]
    words = [f"{kinds.count(kind)} {kind}{'s' * (kinds.count(kind) > 1)}" for kind in
             dict.fromkeys(kinds)]  # fmt: skip
    return ", ".join(words)
