"""Objects in a bucket: of AWS, Google Cloud, Azure, Hugging Face, or a store with such an API."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, PartialCredentialsError
from pyarrow import fs
from tqdm import tqdm

from coldstart.data.sources._sources import Source, is_table
from coldstart.data.sources._stores import CREDENTIALS, explain_error, open_store
from coldstart.errors import UserError

AT_ONCE = 1 << 20  # bytes that are read at a time


def download_objects(source: Source, into: Path) -> None:
    """Download one object, or all tables whose keys have a prefix.

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
    try:
        is_s3 = source.location.startswith("s3://")
        store, path = open_s3(source) if is_s3 else open_store(source.location)
        path = path if "/" in path else f"{path}/"  # or all buckets would be listed
        objects = list_objects(store, path)
        if not objects:
            bucket = path.partition("/")[0]
            if store.get_file_info(bucket).type == fs.FileType.NotFound:
                raise UserError(f"{source.address}: there is no bucket {bucket!r}")
            raise UserError(
                f"{source.address}: no object has this key, and no table has a key that begins "
                "with it"
            )
        folder = path if path.endswith("/") else path.rpartition("/")[0]
        bar = tqdm(desc=source.name, total=sum(objects.values()), unit="B", unit_scale=True,
                   disable=None, leave=False)  # fmt: skip
        with bar:
            for name, size in objects.items():
                copied = into / name.removeprefix(folder).lstrip("/")
                if not copied.resolve().is_relative_to(into.resolve()):
                    raise UserError(f"{source.address}: the key {name!r} leads out of the folder")
                copied.parent.mkdir(parents=True, exist_ok=True)
                with store.open_input_file(name) as stream, copied.open("wb") as file:
                    shutil.copyfileobj(stream, file, AT_ONCE)
                bar.update(size)
    except UserError:
        raise
    except Exception as error:  # each store's client raises what it likes
        raise UserError(f"{source.address}: {explain_error(source.location, error)}") from None


def list_objects(store: Any, path: str) -> dict[str, int]:
    """Return the size of an object, or of all tables whose keys begin with the path, by path."""
    if not path.endswith("/"):
        found = store.get_file_info(path)
        if found.type == fs.FileType.File:
            return {path: found.size}
    folder = fs.FileSelector(path.rpartition("/")[0], recursive=True, allow_not_found=True)
    return {
        one.path: one.size
        for one in store.get_file_info(folder)
        if one.type == fs.FileType.File
        and one.path.startswith(path)
        and is_table(PurePosixPath(one.path))
    }


def open_s3(source: Source) -> tuple[Any, str]:
    """Open S3 with boto3's credentials and endpoint: it knows all kinds of profiles.

    Raises
    ------
    UserError
        If there are no credentials.
    """
    path = source.location.removeprefix("s3://")
    missing = f"{source.address}: no credentials found; set {CREDENTIALS['s3']}"
    try:
        session = boto3.Session()
        credentials = session.get_credentials()
        client = session.client("s3", region_name="us-east-1", config=Config(retries={}))
    except PartialCredentialsError:
        raise UserError(missing) from None
    except BotoCoreError as error:
        raise UserError(f"{source.address} cannot be read: {error}") from None
    if credentials is None:
        raise UserError(missing)
    keys = credentials.get_frozen_credentials()
    endpoint = client.meta.endpoint_url
    if endpoint.endswith("amazonaws.com"):
        place = {"region": fs.resolve_s3_region(path.partition("/")[0])}
    else:
        place = {"region": session.region_name or "us-east-1", "endpoint_override": endpoint}
    store = fs.S3FileSystem(
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        session_token=keys.token,
        connect_timeout=10,
        **place,
    )
    return store, path
