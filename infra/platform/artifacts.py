"""Copies all artifacts out of the S3 store, or into it. Runs in the server's container.

`export` writes a tar archive to the standard output. `import` reads one from the standard input,
and prints how many files it held.
"""

from __future__ import annotations

import os
import sys
import tarfile
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError

FOLDER = "artifacts/"


def open_store() -> tuple[Any, str, str]:
    """Return the store's client, the bucket, and the prefix of all keys."""
    address = urlsplit(os.environ["MLFLOW_ARTIFACTS_DESTINATION"])
    path = address.path.strip("/")
    client = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None)
    return client, address.netloc, f"{path}/" if path else ""


def export(archive: tarfile.TarFile) -> None:
    """Write all objects of the store."""
    client, bucket, prefix = open_store()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for key in (entry["Key"] for page in pages for entry in page.get("Contents", [])):
        try:
            found = client.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                continue  # it was deleted meanwhile
            raise
        member = tarfile.TarInfo(FOLDER + key.removeprefix(prefix))
        member.size, member.mtime = found["ContentLength"], int(found["LastModified"].timestamp())
        archive.addfile(member, found["Body"])


def restore(archive: tarfile.TarFile) -> int:
    """Put all files of the archive into the store, and keep what else it holds."""
    client, bucket, prefix = open_store()
    count = 0
    for member in archive:
        content = archive.extractfile(member)
        if content and member.name.startswith(FOLDER):
            # boto3 treats what has only `read` as a stream, which cannot be rewound.
            reader = SimpleNamespace(read=content.read)
            client.upload_fileobj(reader, bucket, prefix + member.name.removeprefix(FOLDER))
            count += 1
    return count


if __name__ == "__main__":
    if sys.argv[1] == "export":
        with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as out:
            export(out)
    else:
        with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as given:
            print(restore(given))
