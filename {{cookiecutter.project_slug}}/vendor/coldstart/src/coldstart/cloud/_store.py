"""The object store of a job, which this computer and the machine both reach."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnectedError

from coldstart.errors import UserError

# A worker that can wait for a busy store tries again by itself: see `worker.py`.
CONFIG = Config(retries={"max_attempts": 3, "mode": "standard"}, connect_timeout=10)
DELETE_BATCH = 1000  # keys that S3 deletes in one request


class BusyError(UserError):
    """The store does not respond now, but may in a while."""


class TakenError(Exception):
    """The key exists already."""


class Store:
    """Objects below ``s3://BUCKET/PREFIX``. AWS_ENDPOINT_URL names a store that is not AWS'.

    Every method raises `UserError` if the store refuses a request, and `BusyError` if it does not
    respond.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        if not address.startswith("s3://"):
            raise UserError(f"{address!r} is not a valid object store: s3://BUCKET/FOLDER")
        self.bucket, _, self.prefix = self.address.removeprefix("s3://").partition("/")
        region = None if os.environ.get("AWS_DEFAULT_REGION") else "us-east-1"
        self.client = boto3.Session().client("s3", config=CONFIG, region_name=region)

    def key(self, name: str) -> str:
        """Return the whole key of a name below the prefix."""
        return f"{self.prefix}/{name}".lstrip("/")

    @contextmanager
    def errors(self, key: str = "") -> Iterator[None]:
        """Raise errors of boto3 as `UserError`, `BusyError`, `KeyError` or `TakenError`."""
        try:
            yield
        except ClientError as error:
            details = error.response.get("Error", {})
            code = str(details.get("Code", ""))
            if code in ("404", "NoSuchKey"):
                raise KeyError(key) from None
            if code in ("412", "PreconditionFailed"):
                raise TakenError(key) from None
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            # 409: another machine is writing the same key, and may fail.
            kind = BusyError if status >= 500 or status == 409 else UserError
            raise kind(f"{self.address}: {code}: {details.get('Message', '')}") from None
        except (HTTPClientError, NotConnectedError) as error:
            raise BusyError(f"{self.address} does not respond: {error}") from None
        except BotoCoreError as error:
            raise UserError(f"{self.address}: {error}") from None

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call a method of the boto3 client."""
        with self.errors(arguments.get("Key", "")):
            return dict(getattr(self.client, method)(Bucket=self.bucket, **arguments) or {})

    def put(
        self,
        name: str,
        body: bytes | Path,
        first: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        """Write an object: bytes, or a file.

        With `first` the key must not exist yet. `progress` is called with the number of bytes
        that were just sent.

        Raises
        ------
        TakenError
            If the key exists, and `first` is True.
        """
        condition = {"IfNoneMatch": "*"} if first else {}
        if isinstance(body, bytes):
            self.call("put_object", Key=self.key(name), Body=body, **condition)
            return
        with body.open("rb") as file:
            self.call("upload_fileobj", Key=self.key(name), Fileobj=file, Callback=progress)

    def get(self, name: str) -> bytes:
        """Return the content of an object.

        Raises
        ------
        KeyError
            If it does not exist.
        """
        body: bytes = self.call("get_object", Key=self.key(name))["Body"].read()
        return body

    def fetch(self, name: str, path: Path) -> None:
        """Download an object into a file.

        Raises
        ------
        KeyError
            If it does not exist.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.call("download_file", Key=self.key(name), Filename=str(path))

    def link(self, name: str, seconds: int) -> str:
        """Return an address that gives read access to an object for a while, without a key."""
        target = {"Bucket": self.bucket, "Key": self.key(name)}
        with self.errors():
            return str(self.client.generate_presigned_url("get_object", target, seconds))

    def names(self, start: str) -> list[str]:
        """Return names that begin with `start`, sorted."""
        with self.errors():
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.key(start)
            )
            keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
        return sorted(key.removeprefix(self.key("")) for key in keys)

    def delete(self, names: list[str]) -> None:
        """Delete objects. Names that do not exist are ignored."""
        for start in range(0, len(names), DELETE_BATCH):
            keys = [{"Key": self.key(name)} for name in names[start : start + DELETE_BATCH]]
            self.call("delete_objects", Delete={"Objects": keys, "Quiet": True})


def read_json(store: Store, name: str) -> Any:
    """Return the content of a JSON object, or None if it does not exist."""
    try:
        return json.loads(store.get(name))
    except KeyError:
        return None
