"""Tables from Google Cloud Storage and Azure, by their own clients, from emulators on loopback."""

from __future__ import annotations

import base64
import gzip
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import free_port, lack
from pyarrow import fs

from coldstart.data.sources._import_log import load_entries
from coldstart.data.sources._importing import import_source
from coldstart.errors import UserError

TABLE = b"a;b\n1;x\n2;y\n"
KEYS = ("2026/orders.csv", "2026/1/a.csv", "2026/notes.md", "2025/c.csv", "2026/orders.csv.gz")
GOOGLE = [
    *("uv", "tool", "run", "--from", "gcp-storage-emulator==2026.7.19"),
    *("--with", "setuptools<81", "gcp-storage-emulator", "start", "--in-memory"),
]
AZURE = [
    *("npx", "--yes", "--package", "azurite@3.35.0", "azurite-blob", "--silent"),
    *("--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence"),
]
# That of every emulator: https://github.com/Azure/Azurite
ACCOUNT, SECRET = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
)
NAMES = ("AZURE_", "GOOGLE_", "STORAGE_", "HF_")


@pytest.fixture(autouse=True)
def _empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(NAMES)]:
        monkeypatch.delenv(name)


class Emulator(NamedTuple):
    """An emulator with a bucket `shop`, and what makes a client use it."""

    scheme: str
    variables: dict[str, str]


def started(command: list[str], port: int) -> subprocess.Popen[bytes]:
    """Start an emulator, and wait until it responds."""
    program = shutil.which(command[0], path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if not program:
        lack(f"{command[0]} is not installed, which runs an emulator")
    environment = os.environ | {"UV_SYSTEM_CERTS": "1"}
    server = subprocess.Popen(
        [program, *command[1:]], env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
        except urllib.error.HTTPError:
            return server
        except OSError:
            time.sleep(0.1)
        else:
            return server
    lack(f"{command[0]} could not run the emulator")


def stop(server: subprocess.Popen[bytes]) -> None:
    """Stop an emulator, and what has started it."""
    os.killpg(server.pid, 15)
    server.wait(timeout=30)


def content(key: str) -> bytes:
    """Return what an object holds."""
    return gzip.compress(TABLE, mtime=0) if key.endswith(".gz") else TABLE


@pytest.fixture(scope="module")
def google() -> Iterator[Emulator]:
    port = free_port()
    server = started([*GOOGLE, "--host", "127.0.0.1", "--port", str(port)], port)
    try:
        address = f"http://127.0.0.1:{port}"
        post(f"{address}/storage/v1/b?project=any", b'{"name": "shop"}', "application/json")
        for key in KEYS:
            name = f"uploadType=media&name={key}"
            post(f"{address}/upload/storage/v1/b/shop/o?{name}", content(key), "text/csv")
        yield Emulator("gs", {"STORAGE_EMULATOR_HOST": address})
    finally:
        stop(server)


def post(url: str, body: bytes, kind: str) -> None:
    """Send a request that must succeed."""
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    urllib.request.urlopen(request, timeout=30).close()


@pytest.fixture(scope="module")
def azure() -> Iterator[Emulator]:
    port = free_port()
    server = started([*AZURE, "--blobHost", "127.0.0.1", "--blobPort", str(port)], port)
    try:
        at = f"127.0.0.1:{port}"
        store = fs.AzureFileSystem(
            ACCOUNT,
            account_key=SECRET,
            blob_storage_authority=at,
            dfs_storage_authority=at,
            blob_storage_scheme="http",
            dfs_storage_scheme="http",
        )
        store.create_dir("shop")
        for key in KEYS:
            with store.open_output_stream(f"shop/{key}", compression=None) as file:
                file.write(content(key))
        variables = {"AZURE_STORAGE_ACCOUNT": ACCOUNT, "AZURE_STORAGE_KEY": SECRET}
        yield Emulator("az", variables | {"AZURE_STORAGE_ENDPOINT": f"http://{at}"})
    finally:
        stop(server)


@pytest.fixture(params=["google", "azure"])
def emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Each of the emulators, and its variables set."""
    found: Emulator = request.getfixturevalue(request.param)
    for name, value in found.variables.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def refused() -> Callable[[str], str]:
    """`refused(source)`: the message about a source that cannot be imported."""

    def run(source: str) -> str:
        with pytest.raises(UserError) as error:
            import_source(source)
        told = str(error.value)
        assert told.startswith(source)
        assert SECRET not in told
        return told

    return run


def files(source: str) -> dict[str, bytes]:
    """Import a source, and return the imported files by name."""
    table = import_source(source)
    (entry,) = [entry for entry in load_entries() if entry.table == table]
    root = entry.path
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_an_object_arrives_as_it_is(emulator: Emulator) -> None:
    assert files(f"{emulator.scheme}://shop/2026/orders.csv") == {"orders.csv": TABLE}
    packed = files(f"{emulator.scheme}://shop/2026/orders.csv.gz")
    assert packed == {"orders.csv.gz": content("orders.csv.gz")}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/2026/", ["1/a.csv", "orders.csv", "orders.csv.gz"]),
        ("/2026/o", ["orders.csv", "orders.csv.gz"]),
        ("/2025", ["2025/c.csv"]),
        ("", ["2025/c.csv", "2026/1/a.csv", "2026/orders.csv", "2026/orders.csv.gz"]),
    ],
)
def test_all_tables_below_a_prefix_arrive(emulator: Emulator, path: str, found: list[str]) -> None:
    assert sorted(files(f"{emulator.scheme}://shop{path}")) == found


def test_a_missing_bucket_and_a_missing_key_are_told_apart(
    emulator: Emulator, refused: Callable[[str], str]
) -> None:
    assert "there is no bucket 'none'" in refused(f"{emulator.scheme}://none/x.csv")
    assert "no object has this key" in refused(f"{emulator.scheme}://shop/x.csv")


def test_a_store_that_cannot_be_reached_is_named(
    emulator: Emulator, refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in emulator.variables:
        if name.endswith(("HOST", "ENDPOINT")):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
    told = refused(f"{emulator.scheme}://shop/x.csv")
    assert told.endswith("http://127.0.0.1:1 cannot be reached")


def test_an_address_names_azures_account(azure: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ENDPOINT"):
        monkeypatch.setenv(name, azure.variables[name])
    address = f"abfs://shop@{ACCOUNT}.dfs.core.windows.net/2025/c.csv"
    assert files(address) == {"c.csv": TABLE}


def test_what_azure_refuses_is_one_line(
    azure: Emulator, refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", azure.variables["AZURE_STORAGE_ENDPOINT"])
    assert refused("az://shop/x.csv").endswith(
        "set AZURE_STORAGE_ACCOUNT to the name of the storage account"
    )
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", ACCOUNT)
    assert "no credentials found; set AZURE_STORAGE_KEY" in refused("az://shop/x.csv")
    monkeypatch.setenv("AZURE_STORAGE_KEY", base64.b64encode(b"x" * 64).decode())
    assert "access is refused; see AZURE_STORAGE_KEY" in refused("az://shop/x.csv")


def test_google_without_credentials_is_one_line(
    refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    told = refused("gs://shop/x.csv")
    assert "no credentials found; set GOOGLE_APPLICATION_CREDENTIALS" in told
    assert len(told.splitlines()) == 1


def test_hugging_face_names_the_package_that_it_needs(
    refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    told = refused("hf://datasets/me/houses/train.csv")
    assert "a package that is not installed" in told
    assert told.endswith(
        ".venv/bin/python -m uv pip install -c constraints.txt -e 'vendor/coldstart[hf]'"
    )
