"""The bucket of jobs: what is in it, and emptying it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from coldstart.cloud.aws._calls import client, code, pages
from coldstart.errors import UserError

AT_ONCE = 1000  # keys that one call may delete


class Bucket:
    """A bucket, which may be gone already."""

    def __init__(self, name: str) -> None:
        self.name, self.client = name, client("s3")

    def content(self) -> tuple[int, int]:
        """How many objects it holds, and their bytes."""
        sizes = [one["Size"] for one in self._list("list_objects_v2", "Contents")]
        return len(sizes), sum(sizes)

    def empty(self) -> None:
        """Delete all objects, whatever versions there are, and uploads that were cut off.

        Raises
        ------
        UserError
            If some cannot be deleted.
        """
        kinds = ("Versions", "DeleteMarkers")
        doomed = [one for kind in kinds for one in self._list("list_object_versions", kind)]
        keys = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in doomed]
        for start in range(0, len(keys), AT_ONCE):
            asked = {"Objects": keys[start : start + AT_ONCE], "Quiet": True}
            done = self.client.delete_objects(Bucket=self.name, Delete=asked)
            for failed in done.get("Errors", ()):
                raise UserError(f"s3://{self.name}/{failed['Key']}: {failed['Message']}")
            print(f"s3://{self.name}: {min(start + AT_ONCE, len(keys))} of {len(keys)} deleted")
        for upload in list(self._list("list_multipart_uploads", "Uploads")):
            self.client.abort_multipart_upload(
                Bucket=self.name, Key=upload["Key"], UploadId=upload["UploadId"]
            )

    def _list(self, operation: str, what: str) -> Iterator[dict[str, Any]]:
        try:
            for page in pages(self.client, operation, Bucket=self.name):
                yield from page.get(what, ())
        except ClientError as error:
            if code(error) != "NoSuchBucket":
                raise
