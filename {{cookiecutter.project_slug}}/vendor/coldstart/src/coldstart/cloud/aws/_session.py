"""Temporary keys for one job, where its machines reach a bucket on AWS with a user's keys.

A user's own keys have no end, and all the user's rights. AWS exchanges them for others.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from coldstart._aws import CONFIG, explain_error
from coldstart.cloud._job import Job
from coldstart.cloud.skypilot._task import job_folder

KEY, SECRET, TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
SHORTEST, LONGEST = 900, 36 * 3600  # seconds that AWS allows
RESERVE = 600  # seconds after the deadline
OWN = "machines get your own keys of the bucket, with all their rights"


def describe_keys(task: dict[str, Any], seconds: float) -> list[str]:
    """Return a note about the keys that the machines of a task get, if they get any.

    Parameters
    ----------
    task : dict
        The task.
    seconds : float
        Time until the deadline.
    """
    if KEY not in (task.get("secrets") or {}):
        return []
    if reason := find_obstacle(task, seconds):
        return [f"{OWN}: {reason}"]
    return ["machines get keys for this job's objects and time alone, if AWS grants them"]


def find_obstacle(task: dict[str, Any], seconds: float) -> str:
    """Return why the keys of a task cannot be narrowed, or an empty string."""
    given = {**(task.get("envs") or {}), **task["secrets"]}
    if "AWS_ENDPOINT_URL" in given:
        return "AWS_ENDPOINT_URL is set, and only AWS narrows keys"
    if TOKEN in given:
        return "AWS narrows no keys that are temporary already"
    if seconds + RESERVE > LONGEST:
        return f"AWS narrows keys for {LONGEST // 3600} h at most"
    return ""


def narrow_keys(task: dict[str, Any], job: Job, inputs: str, table: Path | str) -> dict[str, Any]:
    """Return the secrets of a task, with keys that are for one job's objects and time alone.

    If AWS does not grant such keys, a warning is printed, and the secrets stay as they are.

    Parameters
    ----------
    task : dict
        The task, with all values.
    job : Job
        The job.
    inputs : str
        Address of the packed inputs.
    table : Path or str
        The table, which the machine reads itself if it is in a bucket.
    """
    secrets, seconds = task.get("secrets") or {}, job.deadline - time.time()
    if KEY not in secrets or find_obstacle(task, seconds):
        return secrets
    try:
        session = boto3.Session(secrets[KEY], secrets.get(SECRET))
        sts = session.client("sts", session.region_name or "us-east-1", config=CONFIG)
        policy = make_policy(sts.meta.partition, job_folder(task, job.id), inputs, table)
        granted = sts.get_federation_token(
            Name=job.id[:32],
            Policy=json.dumps(policy),
            DurationSeconds=max(SHORTEST, int(seconds) + RESERVE),
        )["Credentials"]
    except (ClientError, BotoCoreError) as error:
        print(f"warning: {OWN}: {explain_error(error)}", flush=True)
        return secrets
    if granted["Expiration"].timestamp() < job.deadline:
        print(f"warning: {OWN}: AWS narrows a root user's for an hour at most", flush=True)
        return secrets
    names = {KEY: "AccessKeyId", SECRET: "SecretAccessKey", TOKEN: "SessionToken"}
    return {**secrets, **{name: granted[theirs] for name, theirs in names.items()}}


def make_policy(partition: str, folder: str, inputs: str, table: Path | str) -> dict[str, Any]:
    """Return the policy of a job's keys: of what infra/aws/account.yaml allows, this job's part."""
    read, listed = [inputs], [f"{folder}/*"]
    if isinstance(table, str):  # see `list_objects` in data/reading; a policy knows no [...]
        named = re.search(r"\.parquet$|[*?[]", table)
        read.append(re.sub(r"\[.*?\]", "?", table) if named else f"{table.rstrip('/')}/*")
        if re.search(r"[*?]", read[-1]):
            listed.append(f"{read[-1].rpartition('/')[0]}/")

    def arn(address: str) -> str:
        return f"arn:{partition}:s3:::{address.removeprefix('s3://')}"

    def allow(*actions: str, on: list[str], prefix: str = "") -> dict[str, Any]:
        condition = {"Condition": {"StringLike": {"s3:prefix": prefix}}} if prefix else {}
        actions = tuple(f"s3:{action}" for action in actions)
        return {"Effect": "Allow", "Action": actions, "Resource": on, **condition}

    statements = [
        allow("GetObject", on=[arn(one) for one in read]),
        allow(
            *("GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload"),
            on=[arn(f"{folder}/*")],
        ),
    ]
    for address in listed:
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        statements.append(allow("ListBucket", on=[arn(bucket)], prefix=prefix))
    return {"Version": "2012-10-17", "Statement": statements}
