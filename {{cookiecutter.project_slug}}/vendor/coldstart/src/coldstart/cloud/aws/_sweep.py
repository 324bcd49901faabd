"""The sweep: what a project has anywhere on AWS, and the end of what is past its deadline.

It asks AWS alone. It needs no SkyPilot, no record of what was started, and no machine's help.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import boto3

from coldstart._aws import client, translate_errors
from coldstart._provenance import project_name
from coldstart.cloud._plan import confirm
from coldstart.cloud.aws._inventory import Resource, find
from coldstart.cloud.aws._termination import end
from coldstart.errors import UserError

CONCURRENCY = 8  # regions
DEFAULT_REGION = "us-east-1"  # to list the others, where no region is set

T = TypeVar("T")


def sweep(project: str | None, everything: bool, dry_run: bool, yes: bool) -> int:
    """List what a project has on AWS, end what is past its deadline, and print what is left.

    Return 1 if something past its deadline is left, or a region could not be asked; else 0.

    Raises
    ------
    UserError
        If AWS cannot be asked at all.
    """
    name, now = project or project_name(), time.time()
    found, failed_regions = find_all(regions(), name)
    for region, reason in failed_regions.items():
        print(f"{region}: could not be asked: {reason}")
    for one in found:
        print(describe(one, now))
    overdue = [one for one in found if everything or one.overdue(now) > 0]
    if not overdue:
        rest = f"; {len(found)} not past the deadline" if found else ""
        print(f"{name}: nothing to end{rest}")
        return int(bool(failed_regions))
    if dry_run or not confirm(f"End {len(overdue)} of these?", yes):
        return 1
    left = end_all(overdue, name)
    for one in overdue:
        result = f"not ended: {left[one.id]}" if one.id in left else "ended"
        print(f"{one.region}  {one.kind} {one.id}: {result}")
    return int(any(one.id in left for one in overdue) or bool(failed_regions))


def regions() -> list[str]:
    """Return all regions that are enabled in the account.

    Raises
    ------
    UserError
        If AWS cannot be asked.
    """
    here = boto3.Session().region_name or DEFAULT_REGION
    with translate_errors():
        found = client("ec2", here).describe_regions()["Regions"]
    return sorted(one["RegionName"] for one in found)


def find_all(where: Iterable[str], project: str) -> tuple[list[Resource], dict[str, str]]:
    """Return a project's resources, and why regions could not be asked, by region."""
    results, failed = in_each(where, lambda region: find(region, project))
    return [one for region in sorted(results) for one in results[region]], failed


def end_all(resources: list[Resource], project: str) -> dict[str, str]:
    """End resources, look for them again, and return why some are left, by id."""
    where = sorted({one.region for one in resources})
    results, unreachable = in_each(
        where, lambda at: end(at, [one for one in resources if one.region == at])
    )
    found, unlisted = find_all(where, project)
    left = {one.id: f"it is still {one.state}" for one in found}
    for result in results.values():
        left |= result
    for one in resources:
        if reason := unreachable.get(one.region) or unlisted.get(one.region):
            left.setdefault(one.id, reason)
    return left


def in_each(where: Iterable[str], act: Callable[[str], T]) -> tuple[dict[str, T], dict[str, str]]:
    """Call a function for each region, several at a time. One that fails stops no other."""

    def guarded(region: str) -> tuple[str, T | None, str]:
        try:
            with translate_errors():
                return region, act(region), ""
        except UserError as error:
            return region, None, str(error)

    with ThreadPoolExecutor(CONCURRENCY) as threads:
        done = list(threads.map(guarded, where))
    results = {region: result for region, result, _ in done if result is not None}
    return results, {region: reason for region, result, reason in done if result is None}


def describe(one: Resource, now: float) -> str:
    """Return what is known of a resource, in one line."""
    overdue = one.overdue(now)
    late = f"{format_time(abs(overdue))} {'past' if overdue > 0 else 'to'} its deadline"
    unset = " (none is set: a day)" if one.deadline is None else ""
    job = f"job {one.job}" if one.job else "no job"
    age = f"for {format_time(max(now - one.since, 0))}"
    return "  ".join(
        [one.region, f"{one.kind} {one.id}", one.state, one.type, age, job, late + unset]
    )


def format_time(seconds: float) -> str:
    """Return a time in minutes, hours or days."""
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"
