"""A stand-in for the Hugging Face Hub: what its client requests to publish and to download.

The routes are those of huggingface_hub 2.4. Large files go by LFS or, as the client prefers, into
Xet storage. For the latter its library itself keeps in a folder what it would send.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import hf_xet
import yaml

TOKEN, USER = "hf_written", "ann"
LARGE = (".onnx", ".png")  # a new repository's .gitattributes has the Hub keep these by LFS
LICENSES = {"mit", "bsd-3-clause", "other", None}
TASKS = {"tabular-classification", "tabular-regression"}


@dataclass
class Repository:
    """A repository: its visibility, its commits, each with all files, and a Space's secrets."""

    private: bool
    sdk: str | None
    commits: list[tuple[str, str, dict[str, bytes]]] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        """The newest content of each file, by path."""
        return self.commits[-1][2]

    def commit(self, title: str, files: dict[str, bytes]) -> str:
        """Add a commit and return its id."""
        identity = hashlib.sha1(f"{title} {len(self.commits)}".encode()).hexdigest()
        self.commits.append((identity, title, files))
        return identity


class Refusal(Exception):  # noqa: N818
    """A request that the Hub refuses."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class Hub:
    """The stand-in, on a free port of loopback.

    Attributes
    ----------
    repositories
        By kind (`models`, `spaces`) and name.
    objects
        Content that was uploaded by LFS, by its SHA-256.
    storage
        Folder of the Xet storage.
    requests
        Method and path of each request.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.storage = Path(tempfile.mkdtemp(prefix="xet-"))
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_any(self) -> None:
                hub.serve(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.storage)

    def serve(self, asker: BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        body = asker.rfile.read(int(asker.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(asker.path).path)
        self.requests.append(f"{asker.command} {path}")
        headers: dict[str, str] = {"Content-Type": "application/json"}
        try:
            if not path.startswith("/lfs/") and asker.headers["Authorization"] != f"Bearer {TOKEN}":
                raise Refusal(401, "Invalid credentials in Authorization header")
            found = self.answer(asker.command, path, body, headers)
            status, content = 200, found if isinstance(found, bytes) else json.dumps(found).encode()
        except Refusal as refusal:
            said = {"error": refusal.message, "errors": [{"message": refusal.message}]}
            status, content = refusal.status, json.dumps(said).encode()
            headers |= {"X-Error-Message": refusal.message}
            headers |= {"X-Error-Code": refusal.code} if refusal.code else {}
        asker.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            asker.send_header(name, value)
        asker.end_headers()
        if asker.command != "HEAD":
            asker.wfile.write(content)

    def answer(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Any:
        """Return what a request gets, in JSON or bytes."""
        if path == "/api/whoami-v2":
            return {"type": "user", "name": USER}
        if path == "/api/validate-yaml":
            return check_card(json.loads(body))
        if path.startswith("/api/repos/"):
            return self.change(path.rpartition("/")[2], json.loads(body))
        if path.startswith("/lfs/"):
            oid = path.removeprefix("/lfs/")
            assert hashlib.sha256(body).hexdigest() == oid
            self.objects[oid] = body
            return b""
        if match := re.fullmatch(r"/(spaces/)?(\S+?/\S+?)\.git/info/lfs/objects/batch", path):
            self.writable(("spaces" if match[1] else "models", match[2]))
            return self.batch(json.loads(body))
        if match := re.fullmatch(r"/(spaces/)?([^/]+/[^/]+)/resolve/[^/]+/(.*)", path):
            return self.download("spaces" if match[1] else "models", match[2], match[3], headers)
        match = re.fullmatch(r"/api/(models|spaces)/([^/]+/[^/]+)(?:/(\w+).*)?", path)
        if not match:
            raise Refusal(404, f"{path} is not a route of the stand-in")
        return self.use((match[1], match[2]), f"{method} {match[3] or 'revision'}", body)

    def find(self, key: tuple[str, str]) -> Repository:
        """Return a repository."""
        if key not in self.repositories:
            raise Refusal(404, "Repository not found", "RepoNotFound")
        return self.repositories[key]

    def writable(self, key: tuple[str, str]) -> Repository:
        """Return a repository that the token may write to."""
        found = self.find(key)
        if key[1].partition("/")[0] != USER:
            raise Refusal(403, f"you must use a write token for {key[1]}")
        return found

    def change(self, action: str, asked: dict[str, Any]) -> Any:
        """Create or delete a repository."""
        owner, kind = asked.get("organization") or USER, f"{asked.get('type') or 'model'}s"
        key = kind, f"{owner}/{asked['name']}"
        if owner != USER:
            raise Refusal(403, f'you have no rights under the namespace "{owner}"')
        if action == "delete":
            self.find(key)
            del self.repositories[key]
            return b""
        if key in self.repositories:
            raise Refusal(409, "You already created this repository")
        assert (asked.get("sdk") == "docker") == (kind == "spaces")
        self.repositories[key] = Repository(asked.get("visibility") == "private", asked.get("sdk"))
        self.repositories[key].commit("initial commit", {".gitattributes": b"*.onnx filter=lfs\n"})
        return {"url": f"{self.url}/{'spaces/' * (kind == 'spaces')}{key[1]}"}

    def use(self, key: tuple[str, str], request: str, body: bytes) -> Any:
        """Answer a request to a repository."""
        repository = self.find(key)
        if request in ("GET revision", "GET tree"):
            files = sorted(repository.files.items())
            if request == "GET tree":
                return [describe(name, content) for name, content in files]
            return {
                "id": key[1],
                "sha": repository.commits[-1][0],
                "private": repository.private,
                "siblings": [{"rfilename": name} for name, _ in files],
                "tags": [],
            }
        if request == "GET commits":
            at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            return [
                {"id": oid, "title": title, "message": "", "date": at, "authors": []}
                for oid, title, _ in reversed(repository.commits)
            ]
        if request == "GET runtime":
            return {"stage": "BUILDING", "hardware": {"current": None, "requested": "cpu-basic"}}
        self.writable(key)
        if request == "GET xet":
            expiry = int(time.time()) + 3600
            return {"casUrl": f"local://{self.storage}", "accessToken": "-", "exp": expiry}
        if request == "POST commit":
            return self.commit(key, [json.loads(line) for line in body.splitlines()])
        asked = json.loads(body)
        if request == "PUT settings":
            repository.private = asked["visibility"] == "private"
        elif request == "POST secrets":
            repository.secrets[asked["key"]] = asked["value"]
        elif request == "POST preupload":
            modes = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for one in asked["files"]
            ]
            return {"files": modes}
        else:
            raise AssertionError(request)
        return {}

    def batch(self, asked: dict[str, Any]) -> Any:
        """Say where objects go that are not there yet, as the LFS batch API does."""
        objects = []
        for one in asked["objects"]:
            there = one["oid"] in self.objects
            actions = {"upload": {"href": f"{self.url}/lfs/{one['oid']}", "header": {}}}
            objects.append(one | ({} if there else {"actions": actions}))
        return {"transfer": "basic", "objects": objects}

    def commit(self, key: tuple[str, str], lines: list[dict[str, Any]]) -> Any:
        """Apply a commit."""
        repository, title = self.repositories[key], ""
        files = dict(repository.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                title = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.objects:
                    self.objects[value["oid"]] = from_xet(self.storage, value["oid"])
                files[value["path"]] = self.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            else:
                raise AssertionError(line["key"])
        oid = repository.commit(title, files)
        return {"success": True, "commitOid": oid, "commitUrl": f"{self.url}/{key[1]}/commit/{oid}"}

    def download(self, kind: str, name: str, path: str, headers: dict[str, str]) -> bytes:
        """Return a file's content."""
        repository = self.find((kind, name))
        if path not in repository.files:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        content = repository.files[path]
        headers["X-Repo-Commit"] = repository.commits[-1][0]
        headers["ETag"] = f'"{hashlib.sha256(content).hexdigest()}"'
        return content


def from_xet(storage: Path, oid: str) -> bytes:
    """Return the content of a file in Xet storage, by its SHA-256."""
    for shard in storage.glob("xet/xorbs/shards/*.mdb"):
        for sha, xet, size in read_shard(shard.read_bytes()):
            if sha == oid:
                out = storage / oid
                with hf_xet.XetSession().new_file_download_group(f"local://{storage}") as group:
                    group.start_download_file(hf_xet.XetFileInfo(xet, size), str(out))
                content = out.read_bytes()
                assert hashlib.sha256(content).hexdigest() == oid
                return content
    raise AssertionError(f"{oid} was not uploaded")


def read_shard(content: bytes) -> Iterator[tuple[str, str, int]]:
    """Yield SHA-256, hash and size of the files that a shard describes.

    See https://huggingface.co/docs/xet/shard: a header, and for each file an entry, of 48 bytes.
    The bits of an entry say whether each of its terms has a hash, and whether a SHA-256 follows.
    """
    at = 48
    while content[at : at + 32] != b"\xff" * 32:
        name, flags = content[at : at + 32], int.from_bytes(content[at + 32 : at + 36], "little")
        terms = int.from_bytes(content[at + 36 : at + 40], "little")
        ends = [at + 48 * (number + 2) for number in range(terms)]
        size = sum(int.from_bytes(content[end - 12 : end - 8], "little") for end in ends)
        at += 48 * (1 + terms * (1 + (flags >> 31)))
        if flags >> 30 & 1:
            yield hexadecimal(content[at : at + 32]), hexadecimal(name), size
            at += 48


def hexadecimal(name: bytes) -> str:
    """Return a hash as Xet writes it: each eighth byte first."""
    return "".join(name[start : start + 8][::-1].hex() for start in range(0, 32, 8))


def describe(name: str, content: bytes) -> dict[str, Any]:
    """Return an entry of a repository's tree."""
    oid = hashlib.sha1(content).hexdigest()
    return {"type": "file", "path": name, "size": len(content), "oid": oid}


def check_card(asked: dict[str, str]) -> dict[str, Any]:
    """Check the metadata of a README.md, as far as the Hub documents what it accepts."""
    _, begin, rest = asked["content"].partition("---\n")
    found = yaml.safe_load(rest.partition("\n---")[0]) if begin else None
    wrong = []
    if not isinstance(found, dict):
        wrong.append("no metadata")
    elif asked["repoType"] == "space":
        wrong += ["sdk"] * (found.get("sdk") != "docker")
        wrong += ["app_port"] * (not isinstance(found.get("app_port"), int))
    else:
        wrong += ["pipeline_tag"] * (found["pipeline_tag"] not in TASKS)
    if found and found.get("license") not in LICENSES:
        wrong.append("license")
    if wrong:
        raise Refusal(400, f"invalid metadata: {', '.join(wrong)}")
    return {"errors": [], "warnings": []}
