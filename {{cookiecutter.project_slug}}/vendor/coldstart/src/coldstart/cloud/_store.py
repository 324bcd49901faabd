"""The object store of a job: what a machine and the person's laptop both reach."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnectedError

from coldstart.errors import UserError

# Who can wait for a store that is busy asks again: see `worker.py`.
CONFIG = Config(retries={"max_attempts": 3, "mode": "standard"}, connect_timeout=10)
AT_ONCE = 1000  # keys that S3 deletes in one request


class BusyError(UserError):
    """The store does not answer now; it may in a while."""


class TakenError(Exception):
    """Somebody else has written this key before."""


class Store:
    """Objects below `s3://bucket/prefix`; AWS_ENDPOINT_URL says where, if not at AWS.

    Raises
    ------
    UserError
        In every method, if the store refuses; `BusyError` if it does not answer.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        if not address.startswith("s3://"):
            raise UserError(f"{address!r} is no object store: s3://BUCKET/FOLDER")
        self.bucket, _, self.prefix = self.address.removeprefix("s3://").partition("/")
        region = None if os.environ.get("AWS_DEFAULT_REGION") else "us-east-1"
        self.client = boto3.Session().client("s3", config=CONFIG, region_name=region)

    def key(self, name: str) -> str:
        """The whole key of a name below the prefix."""
        return f"{self.prefix}/{name}".lstrip("/")

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Call a method of boto3's client."""
        try:
            return dict(getattr(self.client, what)(Bucket=self.bucket, **arguments) or {})
        except ClientError as error:
            found = error.response.get("Error", {})
            code = str(found.get("Code", ""))
            if code in ("404", "NoSuchKey"):
                raise KeyError(arguments.get("Key")) from None
            if code in ("412", "PreconditionFailed"):
                raise TakenError(arguments.get("Key")) from None
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            # 409: another one is just writing the same key, and may fail.
            kind = BusyError if status >= 500 or status == 409 else UserError
            raise kind(f"{self.address}: {code}: {found.get('Message', '')}") from None
        except (HTTPClientError, NotConnectedError) as error:
            raise BusyError(f"{self.address} does not answer: {error}") from None
        except BotoCoreError as error:
            raise UserError(f"{self.address}: {error}") from None

    def put(
        self,
        name: str,
        body: bytes | Path,
        first: bool = False,
        told: Callable[[int], object] | None = None,
    ) -> None:
        """Write an object whole.

        Parameters
        ----------
        told
            Called with the bytes of a file that have just gone.

        Raises
        ------
        TakenError
            If it is there already, and this was to be the first.
        """
        condition = {"IfNoneMatch": "*"} if first else {}
        if isinstance(body, bytes):
            self.ask("put_object", Key=self.key(name), Body=body, **condition)
            return
        with body.open("rb") as file:
            self.ask("upload_fileobj", Key=self.key(name), Fileobj=file, Callback=told)

    def get(self, name: str) -> bytes:
        """Read an object.

        Raises
        ------
        KeyError
            If there is none.
        """
        body: bytes = self.ask("get_object", Key=self.key(name))["Body"].read()
        return body

    def fetch(self, name: str, path: Path) -> None:
        """Write an object into a file.

        Raises
        ------
        KeyError
            If there is none.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.ask("download_file", Key=self.key(name), Filename=str(path))

    def link(self, name: str, seconds: int) -> str:
        """An address by which whoever knows it reads an object for a while."""
        asked = {"Bucket": self.bucket, "Key": self.key(name)}
        try:
            return str(self.client.generate_presigned_url("get_object", asked, seconds))
        except BotoCoreError as error:
            raise UserError(f"{self.address}: {error}") from None

    def names(self, start: str) -> list[str]:
        """Names that begin so, sorted."""
        found: list[str] = []
        more: dict[str, Any] = {}
        while True:
            page = self.ask("list_objects_v2", Prefix=self.key(start), **more)
            found += [entry["Key"] for entry in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return sorted(key.removeprefix(self.key("")) for key in found)
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, names: list[str]) -> None:
        """Delete objects; those that are not there are no trouble."""
        for start in range(0, len(names), AT_ONCE):
            keys = [{"Key": self.key(name)} for name in names[start : start + AT_ONCE]]
            self.ask("delete_objects", Delete={"Objects": keys, "Quiet": True})


def document(store: Store, name: str) -> Any:
    """Read JSON, or None where there is none."""
    try:
        return json.loads(store.get(name))
    except KeyError:
        return None
