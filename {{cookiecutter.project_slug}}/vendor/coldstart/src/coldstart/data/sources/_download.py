"""Downloads over HTTP that resume where they broke off."""

from __future__ import annotations

import json
import mimetypes
import re
from email.message import Message
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util import Retry

from coldstart.data.sources._addresses import public_address
from coldstart.data.sources._sources import Source, is_table
from coldstart.errors import UserError, no_room

BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
ATTEMPTS = 5
SUFFIXES = {
    "application/gzip": ".gz",
    "application/json": ".json",
    "application/jsonl": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
    "application/x-ndjson": ".jsonl",
    "text/plain": ".txt",
    "text/tab-separated-values": ".tsv",
}
GZIP, PAGE = b"\x1f\x8b", re.compile(rb"<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)


def download(source: Source, into: Path) -> None:
    """Download one file, resuming after a broken connection.

    Parameters
    ----------
    source : Source
        The address.
    into : Path
        An empty folder.

    Raises
    ------
    UserError
        If there is no such file, the server refuses, or sends a web page instead of data.
    """
    if source.page:
        print(f"{source.page}: reading {public_address(source.location)}")
    part = into.with_suffix(".part")
    session = requests.Session()
    busy = (429, 500, 502, 503, 504)
    waits = Retry(
        ATTEMPTS, connect=1, backoff_factor=0.5, status_forcelist=busy, retry_after_max=60
    )
    waits.raise_on_status = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=waits))
    for attempt in range(1, ATTEMPTS + 1):
        try:
            name = receive(session, source, part)
            break
        except BROKEN as error:
            if attempt == ATTEMPTS or not part.exists():
                host = urlsplit(source.address).hostname
                reason = (
                    "no response in time"
                    if isinstance(error, requests.Timeout)
                    else ("the connection broke off" if part.exists() else "it cannot be reached")
                )
                raise UserError(f"{source.address}: {host}: {reason}; try again") from None
        except requests.RequestException as error:
            raise UserError(f"{source.address} cannot be read: {type(error).__name__}") from None
    with part.open("rb") as file:
        start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<") and PAGE.search(start):
        part.unlink()
        fix = "look for the address of the file itself"
        if source.page:
            fix = "share it with everyone who has the link, or download it and name the file"
        raise UserError(f"{source.address} sent a web page, not data (it may want a login):\n{fix}")
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
    with session.get(source.location, headers=headers, stream=True, timeout=30) as response:
        if (
            response.status_code == 416 and "Range" in headers
        ):  # all of it is here already, or it has become another file
            part.unlink()
            return receive(session, source, part)
        if response.status_code >= 400:
            raise UserError(f"{source.address}: {explain_status(response)}")
        more = response.status_code == 206
        if more and "Range" not in headers:
            raise UserError(f"{source.address}: the server sent a part of the file, not all of it")
        start = part.stat().st_size if more else 0
        # Without one of these, the rest might belong to another version of the file.
        version = response.headers.get("ETag", "") or response.headers.get("Last-Modified", "")
        if more and not continues(response, start, version, json.loads(kept.read_text())):
            kept.unlink()  # so that all of it is requested
            return receive(session, source, part)
        # Where the file is read, a cut or overlong stream is noticed; here it would not be.
        if response.headers.get("Content-Encoding", "").lower() in ("gzip", "x-gzip"):
            del response.raw.headers["Content-Encoding"]
        if version and not version.startswith("W/") and "Content-Encoding" not in response.headers:
            kept.write_text(json.dumps(version))
        else:
            kept.unlink(missing_ok=True)
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        bar = tqdm(desc=source.name, total=total, initial=start, unit="B", unit_scale=True,
                   disable=None, leave=False)  # fmt: skip
        with part.open("ab" if more else "wb") as file, bar:
            for piece in response.iter_content(1 << 16):
                try:
                    file.write(piece)
                except OSError as error:
                    if no_room(error):
                        part.unlink()  # which another program may need
                    raise
                bar.update(len(piece))
        return name_of(response, source)


def continues(response: requests.Response, start: int, version: str, before: str) -> bool:
    """Return whether the part of a file that a server sent belongs behind what is here."""
    place = response.headers.get("Content-Range", "")
    return place.startswith(f"bytes {start}-") and version in ("", before)


def explain_status(response: requests.Response) -> str:
    """Explain the server's status code."""
    status = f"{response.status_code} {response.reason}"
    if response.status_code in (404, 410):
        return f"there is nothing at this address ({status})"
    if response.status_code in (401, 403, 407):
        return f"the server wants a login or a token for this ({status})"
    return f"the server does not send it ({status}); try again later"


def name_of(response: requests.Response, source: Source) -> str:
    """Return the file's name: from the server, the address, or the content type."""
    message = Message()
    message["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    message["Content-Type"] = response.headers.get("Content-Type", "")
    places = [
        message.get_filename() or "",
        urlsplit(source.address).path,
        urlsplit(response.url).path,
    ]
    names = [unquote(place).replace("\\", "/").rsplit("/", 1)[-1] for place in places]
    names = [re.sub(r"[^\w .()+-]+", "-", name)[-60:] for name in names]  # 60 letters: 240 bytes
    for name in names:
        if is_table(Path(name)):
            return name
    kind = message.get_content_type()
    suffix = SUFFIXES.get(kind) or mimetypes.guess_extension(kind) or ".txt"
    return f"{source.name}{suffix}"
