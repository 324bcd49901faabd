"""Objects in a bucket: AWS S3, or a store with the same API."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
)
from tqdm import tqdm

from coldstart.data.sources._sources import Source, is_table
from coldstart.errors import UserError


def download_objects(source: Source, into: Path) -> None:
    """Download one object, or all tables whose keys have a prefix.

    `AWS_ENDPOINT_URL` selects a store other than AWS. boto3 finds the credentials.

    Parameters
    ----------
    source : Source
        The bucket and key.
    into : Path
        An empty folder.

    Raises
    ------
    UserError
        If credentials, bucket or key are missing, or access is refused.
    """
    bucket, _, key = source.location.removeprefix("s3://").partition("/")
    try:
        config = Config(retries={"max_attempts": 5, "mode": "standard"}, connect_timeout=10)
        region = None if os.environ.get("AWS_DEFAULT_REGION") else "us-east-1"
        client = boto3.Session().client("s3", config=config, region_name=region)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        objects = {
            entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())
        }
        if objects.get(key):  # an object, not the first of those that begin so
            objects = {key: objects[key]}
        else:
            objects = {
                name: size for name, size in objects.items() if is_table(PurePosixPath(name))
            }
        if not objects:
            raise UserError(
                f"{source.address}: no object has this key, and no table has a key that begins "
                "with it"
            )
        folder = key if key.endswith("/") else key.rpartition("/")[0]
        bar = tqdm(desc=source.name, total=sum(objects.values()), unit="B", unit_scale=True,
                   disable=None, leave=False)  # fmt: skip
        with bar:
            for name in objects:
                copied = into / name.removeprefix(folder).lstrip("/")
                if not copied.resolve().is_relative_to(into.resolve()):
                    raise UserError(f"{source.address}: the key {name!r} leads out of the folder")
                copied.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(bucket, name, str(copied), Callback=bar.update)
    except (NoCredentialsError, PartialCredentialsError):
        raise UserError(
            f"{source.address}: no credentials found; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        ) from None
    except ClientError as error:
        raise UserError(f"{source.address}: {explain_error(error.response, bucket)}") from None
    except EndpointConnectionError:
        where = os.environ.get("AWS_ENDPOINT_URL", "AWS")
        raise UserError(f"{source.address}: {where} cannot be reached") from None
    except BotoCoreError as error:
        raise UserError(f"{source.address} cannot be read: {error}") from None


def explain_error(response: Any, bucket: str) -> str:
    """Explain the store's error response."""
    code = str(response.get("Error", {}).get("Code", ""))
    if code == "NoSuchBucket":
        return f"there is no bucket {bucket!r}"
    if code in ("403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return f"access is refused ({code}); see AWS_ACCESS_KEY_ID, AWS_PROFILE"
    return f"the store returned {code}: {response.get('Error', {}).get('Message', '')}"
