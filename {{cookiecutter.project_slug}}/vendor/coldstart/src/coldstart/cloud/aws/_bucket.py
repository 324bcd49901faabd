"""The bucket of jobs: what it holds, and emptying it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from coldstart._aws import client, error_code, pages
from coldstart.errors import UserError

DELETE_BATCH = 1000  # keys that one call can delete


def bucket_region(store: str) -> str | None:
    """Return the region of a bucket.

    Parameters
    ----------
    store : str
        Address of a folder in it: ``s3://bucket/prefix``.

    Returns
    -------
    str or None
        The region. None where AWS does not say: for another provider's store, a bucket that does
        not exist, or without credentials.
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
    """A bucket, which may not exist.

    Parameters
    ----------
    name : str
        Its name.
    """

    def __init__(self, name: str) -> None:
        self.name, self.client = name, client("s3")

    def content(self) -> tuple[int, int]:
        """Return the number of its objects, and their size in bytes."""
        sizes = [one["Size"] for one in self._list("list_objects_v2", "Contents")]
        return len(sizes), sum(sizes)

    def empty(self) -> None:
        """Delete all objects, all their versions, and uploads that were interrupted.

        Raises
        ------
        UserError
            If one cannot be deleted.
        """
        kinds = ("Versions", "DeleteMarkers")
        objects = [one for kind in kinds for one in self._list("list_object_versions", kind)]
        keys = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in objects]
        for start in range(0, len(keys), DELETE_BATCH):
            batch = {"Objects": keys[start : start + DELETE_BATCH], "Quiet": True}
            done = self.client.delete_objects(Bucket=self.name, Delete=batch)
            for failed in done.get("Errors", ()):
                raise UserError(f"s3://{self.name}/{failed['Key']}: {failed['Message']}")
            print(
                f"s3://{self.name}: deleted {min(start + DELETE_BATCH, len(keys))} of {len(keys)}"
            )
        for upload in list(self._list("list_multipart_uploads", "Uploads")):
            self.client.abort_multipart_upload(
                Bucket=self.name, Key=upload["Key"], UploadId=upload["UploadId"]
            )

    def _list(self, operation: str, what: str) -> Iterator[dict[str, Any]]:
        try:
            for page in pages(self.client, operation, Bucket=self.name):
                yield from page.get(what, ())
        except ClientError as error:
            if error_code(error) != "NoSuchBucket":
                raise
