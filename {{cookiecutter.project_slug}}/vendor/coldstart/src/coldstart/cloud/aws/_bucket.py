"""The bucket of jobs: what it holds, and emptying it."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from coldstart._aws import CONFIG, client, ignore_errors
from coldstart.errors import UserError


def bucket_region(store: str) -> str | None:
    """Return the region of the bucket of ``s3://bucket/prefix``.

    None where AWS does not say: for another provider's store, a bucket that does not exist, or
    without credentials.
    """
    scheme, _, path = store.partition("://")
    if scheme != "s3":
        return None
    try:
        answer: dict[str, Any] = client("s3").head_bucket(Bucket=path.partition("/")[0])
    except ClientError as error:  # one that may not be read has a region all the same
        answer = dict(error.response)
    except (BotoCoreError, UserError):
        return None
    found: str | None = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
    return found


class Bucket:
    """A bucket, which may not exist."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bucket = boto3.resource("s3", config=CONFIG).Bucket(name)

    def content(self) -> tuple[int, int]:
        """Return the number of its objects, and their size in bytes."""
        with ignore_errors("NoSuchBucket"):
            sizes = [one.size for one in self.bucket.objects.all()]
            return len(sizes), sum(sizes)
        return 0, 0

    def empty(self) -> None:
        """Delete all objects, all their versions, and uploads that were interrupted.

        Raises
        ------
        UserError
            If one cannot be deleted.
        """
        with ignore_errors("NoSuchBucket"):
            for done in self.bucket.object_versions.delete():
                for failed in done.get("Errors", ()):
                    raise UserError(f"s3://{self.name}/{failed['Key']}: {failed['Message']}")
            for upload in self.bucket.multipart_uploads.all():
                upload.abort()
