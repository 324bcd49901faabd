"""Renewing constraints.txt, from a package index on loopback."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine.support import main

Capture = pytest.CaptureFixture[str]
# Name, version, and days since its upload.
FILES = [
    ("fast", "1.0", 30),
    ("fast", "2.0", 1),
    ("slow", "1.0", 30),
    ("slow", "2.0", 8),
    ("hatchling", "1.0", 30),
    ("pip", "1.0", 30),
    ("nvidia-one", "1.0", 30),
]


def wheel(name: str, version: str) -> bytes:
    """Return an empty package, always the same."""
    folder = f"{name.replace('-', '_')}-{version}.dist-info"
    content = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for part, text in content.items():
            archive.writestr(zipfile.ZipInfo(f"{folder}/{part}"), text)
    return file.getvalue()


class Index(BaseHTTPRequestHandler):
    """A package index."""

    dates = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        place, _, last = self.path.strip("/").rpartition("/")
        kind = "application/octet-stream"
        if place == "simple":
            kind = "application/vnd.pypi.simple.v1+json"
            files = [self.describe(*one) for one in FILES if one[0] == last]
            content = {"meta": {"api-version": "1.1"}, "name": last, "files": files}
            body = json.dumps(content).encode()
        else:
            name, version, *_ = last.split("-")
            body = wheel(name.replace("_", "-"), version)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def describe(self, name: str, version: str, days: int) -> dict[str, object]:
        file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        hashes = {"sha256": digest(name, version)}
        about = {"filename": file, "url": f"/files/{file}", "hashes": hashes}
        uploaded = datetime.now(UTC) - timedelta(days=days)
        return about | ({"upload-time": f"{uploaded:%Y-%m-%dT%H:%M:%SZ}"} if self.dates else {})

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def digest(name: str, version: str) -> str:
    """Return the hash of a package's file."""
    return hashlib.sha256(wheel(name, version)).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Index]]:
    """A project that needs `fast`, `slow` and `nvidia-one`, and the index that has them."""
    engine = tmp_path / "vendor" / "coldstart"
    engine.mkdir(parents=True)
    needed = 'dependencies = ["fast", "slow", "nvidia-one"]'
    for folder, lines in ((tmp_path, "notebook = []"), (engine, "")):
        groups = f"[dependency-groups]\n{lines}\n"
        text = f'[project]\nname = "{folder.name.lower()}"\nversion = "1"\n{needed}\n{groups}'
        (folder / "pyproject.toml").write_text(text)
    (tmp_path / "config.yaml").write_text("data: {table: table.csv}\n")
    (tmp_path / "constraints.txt").write_text("fast==0.1\n")
    monkeypatch.chdir(tmp_path)

    class Own(Index):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    yield Own
    server.shutdown()
    server.server_close()


def pins() -> dict[str, str]:
    """Return the lines of constraints.txt with a version, by name; hashes are checked."""
    found = {}
    for block in re.findall(r"^\S.*\n(?: .*\n)*", Path("constraints.txt").read_text(), re.M):
        name, version = re.split(r"==|\s", block)[:2]
        assert f"sha256:{digest(name, version)}" in block
        found[name] = version
    return found


def test_versions_are_a_week_old_or_named(index: type[Index], capsys: Capture) -> None:
    assert main(["pins"]) == 0
    assert pins() == {"fast": "1.0", "slow": "2.0", "hatchling": "1.0", "pip": "1.0"}
    assert main(["pins", "--now", "fast"]) == 0
    assert pins()["fast"] == "2.0"


def test_each_change_is_a_line_and_what_installs_it_another(
    index: type[Index], capsys: Capture
) -> None:
    def said(*arguments: str) -> list[str]:
        assert main(["pins", *arguments]) == 0
        return capsys.readouterr().out.splitlines()

    Path("constraints.txt").write_text("fast==0.1\nslow==10.0\ngone==1.0\npip==1.0\n")
    changes = ["fast: 0.1 -> 1.0", "gone: 1.0 -> removed", "hatchling: new -> 1.0"]
    last = "4 packages changed in constraints.txt; the next make command installs them"
    assert said() == [*changes, "slow: 10.0 -> 2.0 (older)", last]
    before = Path("constraints.txt").stat().st_mtime_ns
    assert said() == ["all versions in constraints.txt are as they were"]
    assert Path("constraints.txt").stat().st_mtime_ns == before  # else make would install it anew
    assert said("--now", "Fast")[0] == "fast: 1.0 -> 2.0"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("slwo", "did you mean slow?"), ("nope", "write names of packages in that file, or of")],
)
def test_a_name_that_is_no_package_of_the_project_is_refused(
    name: str, hint: str, index: type[Index], refusal: Callable[..., str]
) -> None:
    said = refusal("pins", "--now", f"fast,{name}")
    assert said.startswith(f"error: NOW={name} is not a package in constraints.txt: {hint}")
    assert len(said.splitlines()) == 1
    assert Path("constraints.txt").read_text() == "fast==0.1\n"


def test_an_index_without_dates_is_named_and_the_newest_taken(
    index: type[Index], capsys: Capture
) -> None:
    index.dates = False
    assert main(["pins"]) == 0
    assert pins()["fast"] == "2.0"
    line, *_ = capsys.readouterr().out.splitlines()
    assert line.startswith("warning: the package index serves no upload dates")


def test_what_does_not_fit_leaves_the_versions_as_they_are(
    index: type[Index], capsys: Capture
) -> None:
    text = Path("pyproject.toml").read_text()
    Path("pyproject.toml").write_text(text.replace('"fast"', '"fast>=3"'))
    assert main(["pins"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no versions were found, and constraints.txt is as it was")
    assert "fast>=3" in error
    assert Path("constraints.txt").read_text() == "fast==0.1\n"
