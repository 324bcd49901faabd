"""Downloading from an http(s) address, in as many goes as it takes."""

from __future__ import annotations

import json
import mimetypes
from email.message import Message
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util import Retry

from coldstart.data.sources._sources import Source, is_table
from coldstart.errors import UserError

BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
GOES = 5
KINDS = {
    "application/gzip": ".gz",
    "application/json": ".json",
    "application/jsonl": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
    "application/x-ndjson": ".jsonl",
    "text/plain": ".txt",
    "text/tab-separated-values": ".tsv",
}
GZIP, PAGES = b"\x1f\x8b", (b"<!doctype html", b"<html")


def download(source: Source, into: Path) -> None:
    """Download one file; what arrived before the connection broke is not asked for again.

    Raises
    ------
    UserError
        If there is nothing, the server refuses, or a web page comes instead of data.
    """
    part = into.with_suffix(".part")
    session = requests.Session()
    busy = (429, 500, 502, 503, 504)
    waits = Retry(GOES, connect=1, backoff_factor=0.5, status_forcelist=busy, retry_after_max=60)
    waits.raise_on_status = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=waits))
    for go in range(1, GOES + 1):
        try:
            name = receive(session, source, part)
            break
        except BROKEN as error:
            if go == GOES or not part.exists():
                host = urlsplit(source.address).hostname
                reason = (
                    "no answer in time"
                    if isinstance(error, requests.Timeout)
                    else ("the connection broke off" if part.exists() else "it cannot be reached")
                )
                raise UserError(f"{source.address}: {host}: {reason}; try again") from None
        except requests.RequestException as error:
            raise UserError(f"{source.address} cannot be read: {type(error).__name__}") from None
    with part.open("rb") as file:
        start = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.lower().startswith(PAGES):
        part.unlink()
        raise UserError(
            f"{source.address} sent a web page, not data (it may want a login):\n"
            "look for the address of the file itself"
        )
    packed = start.startswith(GZIP)
    if packed != (name.endswith(".gz")):  # servers differ in whom they let unpack
        name = f"{name}.gz" if packed else name.removesuffix(".gz")
    part.replace(into / name)
    part.with_suffix(".version").unlink(missing_ok=True)


def receive(session: requests.Session, source: Source, part: Path) -> str:
    """Receive what is missing of the file, and return its name."""
    headers, kept = {"Accept-Encoding": "identity"}, part.with_suffix(".version")
    if part.exists() and kept.exists():
        headers |= {"Range": f"bytes={part.stat().st_size}-"}
        headers |= {"If-Range": json.loads(kept.read_text())}
    with session.get(source.secret, headers=headers, stream=True, timeout=30) as answer:
        if answer.status_code == 416:  # all of it is here already, or it has become another file
            part.unlink()
            return receive(session, source, part)
        if answer.status_code >= 400:
            raise UserError(f"{source.address}: {refusal(answer)}")
        more = answer.status_code == 206
        start = part.stat().st_size if more else 0
        # Without one of these, nobody could tell whether the rest belongs to the same file.
        version = answer.headers.get("ETag", "") or answer.headers.get("Last-Modified", "")
        if version and not version.startswith("W/") and "Content-Encoding" not in answer.headers:
            kept.write_text(json.dumps(version))
        else:
            kept.unlink(missing_ok=True)
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        bar = tqdm(desc=source.name, total=total, initial=start, unit="B", unit_scale=True,
                   disable=None, leave=False)  # fmt: skip
        with part.open("ab" if more else "wb") as file, bar:
            for piece in answer.iter_content(1 << 16):
                file.write(piece)
                bar.update(len(piece))
        return name_of(answer, source)


def refusal(answer: requests.Response) -> str:
    """What the server's refusal means."""
    told = f"{answer.status_code} {answer.reason}"
    if answer.status_code in (404, 410):
        return f"there is nothing at this address ({told})"
    if answer.status_code in (401, 403, 407):
        return f"the server wants a login or a token for this ({told})"
    return f"the server does not send it ({told}); try again later"


def name_of(answer: requests.Response, source: Source) -> str:
    """Name of the file: as the server says, or as the address, or by the kind of content."""
    message = Message()
    message["Content-Disposition"] = answer.headers.get("Content-Disposition", "")
    message["Content-Type"] = answer.headers.get("Content-Type", "")
    places = [
        message.get_filename() or "",
        urlsplit(source.address).path,
        urlsplit(answer.url).path,
    ]
    names = [unquote(place).replace("\\", "/").rsplit("/", 1)[-1] for place in places]
    for name in names:
        if is_table(Path(name)):
            return name
    kind = message.get_content_type()
    suffix = KINDS.get(kind) or mimetypes.guess_extension(kind) or ".txt"
    return f"{source.name}{suffix}"
