"""Access keys and rate limits. Keys are kept as hashes, in a file that may change."""

import hashlib
import hmac
import ipaddress
import logging
import re
import secrets
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from coldstart.errors import UserError
from coldstart.serve._limits import HEALTH
from coldstart.serve._route import error_body, send_json

PAGES = ("/docs", "/openapi.json", "/static-offline-docs/")  # a browser opens these without a key
RELOAD_SECONDS = 0.1  # between two checks of the file of keys; each takes as long as the rest
MAX_BUCKETS = 10_000  # the number of addresses is unlimited
IPV6_NETWORK = 64  # bits of the prefix that one client has
HASH = re.compile(r"[0-9a-f]{64}")
log = logging.getLogger(__name__)
DOCUMENTED = [
    Security(HTTPBearer(auto_error=False, description="A key that `make key` made")),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False, description="The same")),
]
"""What the documentation says of keys; `Access` checks them."""


def new_key(path: Path, name: str) -> str:
    """Make a key, and add its hash to the file of keys.

    Parameters
    ----------
    path : Path
        The file of keys; it is made if there is none.
    name : str
        Who the key is for.

    Returns
    -------
    str
        The key, which is not stored.

    Raises
    ------
    UserError
        If the name is not an identifier, or has a key already.
    """
    if not name.isidentifier():
        raise UserError(
            f"{name!r} is not a valid name for a key: use letters, digits and _, as in NAME=ann"
        )
    if path.exists() and name in read_keys(path):
        raise UserError(f"{path} has a key {name} already; to replace it, delete its line first")
    key = secrets.token_urlsafe(32)
    path.touch(mode=0o600)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{name} {digest(key)}\n")
    return key


def read_keys(path: Path) -> dict[str, str]:
    """Read the hash of each key, by name.

    Raises
    ------
    UserError
        If the file is missing, or a line is not a name and a hash.
    """
    try:
        return parse_keys(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; make a key: make key NAME=...") from None


def parse_keys(path: Path) -> dict[str, str]:
    """Do the same, and let an OSError pass."""
    keys = {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        words = line.split("#", 1)[0].split()
        if words and (len(words) != 2 or not HASH.fullmatch(words[1])):
            raise UserError(
                f"{path}, line {number}: expected a name and a hash, as make key writes"
            )
        if words:
            keys[words[0]] = words[1]
    return keys


def digest(key: str) -> str:
    """Return the SHA-256 of a key. It has 256 random bits: no slower hash is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass
class Bucket:
    """The remaining requests of one client, refilled evenly over a minute."""

    left: float
    at: float = field(default_factory=time.monotonic)

    def take(self, per_minute: int) -> float:
        """Take a request; return 0, or the seconds until one is available."""
        now = time.monotonic()
        self.left = min(per_minute, self.left + (now - self.at) * per_minute / 60)
        self.at = now
        if self.left < 1:
            return (1 - self.left) * 60 / per_minute
        self.left -= 1
        return 0.0


class Buckets:
    """The buckets of many clients, of which those that asked last are kept.

    Parameters
    ----------
    per_minute : int
        Requests a minute of each client.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.buckets: dict[str, Bucket] = {}  # the client that asked last is the last one

    def take(self, client: str) -> float:
        """Take a request of a client; return 0, or the seconds until one is available."""
        bucket = self.buckets.pop(client, None) or Bucket(self.per_minute)
        self.buckets[client] = bucket
        if len(self.buckets) > MAX_BUCKETS:
            del self.buckets[next(iter(self.buckets))]
        return bucket.take(self.per_minute)


class Access:
    """Middleware that accepts requests with a known key, up to a limit per minute.

    Parameters
    ----------
    app : ASGI application
        Handles the accepted requests.
    keys : Path or None
        The file of hashes, which is reloaded when it changes. With None no key is required.
    per_minute : int or None
        Requests a minute of each key, or of each address if no key is required. None: unlimited.
    pages : collection of str
        Paths that require no key, besides those of the documentation.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Path | None,
        per_minute: int | None,
        pages: Collection[str] = (),
    ) -> None:
        self.app, self.path, self.per_minute, self.pages = app, keys, per_minute, pages
        self.changed_at, self.checked_at = (0, 0), 0.0
        self.keys = read_keys(keys) if keys else {}
        # Apart, so that no number of addresses displaces a key's.
        self.by_key, self.by_address = (Buckets(per_minute or 0) for _ in range(2))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept a request, or refuse it with 401 or 429."""
        if scope["type"] != "http" or scope["path"].startswith(HEALTH):
            await self.app(scope, receive, send)
            return
        client, buckets = "", self.by_address
        if self.path and not (scope["path"].startswith(PAGES) or scope["path"] in self.pages):
            client, buckets = self.holder(scope["headers"]), self.by_key
            if not client:
                scheme = [(b"www-authenticate", b"Bearer")]
                body = error_body("a key is needed: Authorization: Bearer ...")
                await send_json(send, 401, body, scheme)
                return
        if self.per_minute and (wait := buckets.take(client or address_of(scope))):
            retry = [(b"retry-after", b"%d" % (int(wait) + 1))]
            body = error_body(f"more than {self.per_minute} requests in a minute")
            await send_json(send, 429, body, retry)
            return
        await self.app(scope, receive, send)

    def holder(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Return the name of the key of a request; empty if the key is unknown."""
        self.reload()
        given = ""
        for name, value in headers:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                given = value[7:].decode("latin-1").strip()
            elif name == b"x-api-key":
                given = value.decode("latin-1").strip()
        found, holder = digest(given), ""
        for name_of_key, known in self.keys.items():  # all of them, to take as long for each
            if hmac.compare_digest(found, known):
                holder = name_of_key
        return holder if given else ""

    def reload(self) -> None:
        """Reload the file of keys if it has changed.

        A file that is gone, or that cannot be read, holds no key: all are refused, as one who
        deletes it expects. An invalid line is more likely a slip of who edits the file, and the
        keys from before it go on.
        """
        assert self.path is not None
        now = time.monotonic()
        if now - self.checked_at < RELOAD_SECONDS:
            return
        self.checked_at = now
        try:
            found = self.path.stat()
            changed = (found.st_mtime_ns, found.st_ino)
            if changed != self.changed_at:
                self.changed_at = changed
                self.keys = parse_keys(self.path)
                log.info("%s: %d keys are valid", self.path, len(self.keys))
        except OSError as error:
            if self.keys:
                log.error("%s: %s; no key is valid", self.path, error.strerror)
            self.keys, self.changed_at = {}, (0, 0)
        except UserError as error:
            log.error("%s; the keys from before are still valid", error)


def address_of(scope: Scope) -> str:
    """Return a client's address; of IPv6 its network, of which a client has all addresses."""
    try:
        address = ipaddress.ip_address((scope.get("client") or ("",))[0])
    except ValueError:  # a socket that has none, or what a proxy made up
        return ""
    if address.version == 4 or address.ipv4_mapped:
        return str(address)
    return str(ipaddress.ip_network((int(address), IPV6_NETWORK), strict=False))
