"""Where data comes from: files, a web server, an S3 store and PostgreSQL, all of them real."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import pytest
from moto.server import ThreadedMotoServer

from coldstart.config._sections import DataSettings
from coldstart.data.reading._read import read
from coldstart.data.sources import _database as database
from coldstart.data.sources._import_log import load_entries
from coldstart.data.sources._importing import import_source
from coldstart.data.sources._shared_links import find_file
from coldstart.data.sources._sources import parse
from coldstart.errors import UserError

TABLE = b"a;b\n1;x\n2;y\n"
GZIPPED = gzip.compress(TABLE, mtime=0)  # the same in each process
Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def _empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def refused() -> Refused:
    """`refused(source, ...)`: the message about a source that cannot be imported."""

    def run(*arguments: Any, **options: Any) -> str:
        with pytest.raises(UserError) as error:
            import_source(*arguments, **options)
        told = str(error.value)
        assert len(told.splitlines()) <= 2
        assert not Path("data/arrivals.jsonl").exists()
        return told

    return run


def kept(table: Path) -> dict[str, bytes]:
    """Content of an arrival's files, by their names."""
    (entry,) = [entry for entry in load_entries() if entry.table == table]
    root = entry.path
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def no_secret_anywhere(secret: str) -> bool:
    """Whether no file here holds it."""
    return not any(secret.encode() in p.read_bytes() for p in Path().rglob("*") if p.is_file())


# files


def test_a_file_is_copied_as_it_is_and_the_original_stays() -> None:
    Path("birds.csv").write_bytes(TABLE)
    before = Path("birds.csv").stat()
    table = import_source("birds.csv")
    assert kept(table) == {"birds.csv": TABLE}
    assert Path("birds.csv").stat() == before
    assert not table.stat().st_mode & 0o222


@pytest.mark.parametrize("source", ["in", "in/", "in/*.csv", "in/**/*.csv"])
def test_a_folder_or_a_pattern_brings_all_its_tables(source: str) -> None:
    for name in ("in/a.csv", "in/b.csv", "in/deeper/c.csv"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(f"x\n{name}\n")
    for name in ("in/notes.md", "in/.hidden.csv", "in/_SUCCESS"):
        Path(name).write_text("no table")
    names = {"a.csv", "b.csv"} | ({"deeper/c.csv"} if source != "in/*.csv" else set())
    assert set(kept(import_source(source))) == names


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("none.csv", "none.csv: there is no such file"),
        ("none/*.csv", "no tables there"),
        ("empty", "no tables there"),
        ("postgresql://localhost/shop", "add what to read"),
        ("https://me:${NOT_SET}@example.org/x.csv", "NOT_SET is not set"),
        ("https://example.org/x.csv?token=***", "secrets are not logged"),
    ],
)
def test_what_is_not_a_source_is_refused(refused: Refused, source: str, told: str) -> None:
    Path("empty").mkdir()
    assert told in refused(source)


def test_secrets_are_taken_out_of_addresses_and_names_of_variables_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORD", "tiger")
    for written, recorded in [
        ("https://me:tiger@host/x.csv", "https://me@host/x.csv"),
        ("https://host/x.csv?api_key=tiger&year=1", "https://host/x.csv?api_key=***&year=1"),
        ("https://host/x.csv?api_key=${WORD}", "https://host/x.csv?api_key=${WORD}"),
        ("https://h/x.csv?X-Amz-Signature=tiger", "https://h/x.csv?X-Amz-Signature=***"),
        ("postgresql+psycopg://me:tiger@h:5/db", "postgresql+psycopg://me@h:5/db"),
        ("postgresql://me:${WORD}@h/db", "postgresql://me:${WORD}@h/db"),
        ("postgresql://h/db?password=tiger", "postgresql://h/db?password=***"),
        ("sqlite:///shop.db", "sqlite:///shop.db"),
        ("sqlite:////tmp/shop.db", "sqlite:///shop.db"),
    ]:
        query = None if written.startswith("http") else "select 1"
        source = parse(written, query)
        assert source.address == recorded
        assert source.location == written.replace("${WORD}", "tiger")


# a web server


class Site(ThreadingHTTPServer):
    """Sends `files[path] = (content, headers)`; breaks off `breaks` times, after half."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.files: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.statuses: list[int] = []
        self.ranges: list[str | None] = []
        self.breaks = 0
        self.careless = False  # whether it sends a part of a file that has changed
        self.behind = 0  # bytes by which a part begins too early

    def address(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.server_port}{path}"


class Page(BaseHTTPRequestHandler):
    """Answers with files, in parts where it is asked for them."""

    server: Site

    def do_GET(self) -> None:
        site = self.server
        site.ranges.append(self.headers.get("Range"))
        content, headers = site.files.get(self.path.split("?")[0], (b"nothing", {}))
        status = site.statuses.pop(0) if site.statuses else 200 if headers else 404
        start = 0
        same = self.headers["If-Range"] == headers.get("ETag")
        if (asked := self.headers.get("Range")) and (same or site.careless):
            status, start = 206, int(asked.removeprefix("bytes=").removesuffix("-")) - site.behind
        self.send_response(status)
        if asked and status == 206:
            end = f"{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", f"bytes {start}-{end}")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if site.breaks and status in (200, 206):
            site.breaks -= 1
            self.wfile.write(content[start : start + (len(content) - start) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(content[start:])

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


CSV = {"Content-Type": "text/csv"}


@pytest.mark.parametrize(
    ("path", "headers", "content", "name"),
    [
        ("/birds.csv", CSV, TABLE, "birds.csv"),
        ("/a%20b.csv.gz", {"Content-Type": "application/gzip"}, GZIPPED, "a b.csv.gz"),
        ("/export", CSV | {"Content-Disposition": 'attachment; filename="b.tsv"'}, TABLE, "b.tsv"),
        ("/up", CSV | {"Content-Disposition": 'attachment; filename="../b.csv"'}, TABLE, "b.csv"),
        ("/export", CSV, TABLE, "export.csv"),
        ("/export", {"Content-Type": "application/x-ndjson"}, b"{}\n", "export.jsonl"),
        ("/", CSV, TABLE, "127.0.0.1.csv"),
        ("/x.csv", CSV, GZIPPED, "x.csv.gz"),
        ("/a%00b%0A%1B.csv", CSV, TABLE, "a-b-.csv"),
        (f"/{'n' * 300}.csv", CSV, TABLE, f"{'n' * 56}.csv"),
    ],
)
def test_a_download_is_named_by_the_server_the_address_or_the_content(
    site: Site, path: str, headers: dict[str, str], content: bytes, name: str
) -> None:
    site.files[path] = (content, headers)
    assert kept(import_source(site.address(path))) == {name: content}


def test_a_broken_download_goes_on_where_it_broke(site: Site) -> None:
    content = os.urandom(4_000_000)
    site.files["/x.csv"] = (content, CSV | {"ETag": '"1"'})
    site.breaks = 2
    assert kept(import_source(site.address("/x.csv"))) == {"x.csv": content}
    first, second, third = site.ranges
    assert first is None
    assert str(second) > "bytes=19"  # nearly half, of 4,000,000
    assert str(third) > "bytes=29"


@pytest.mark.parametrize("length", ["abc", "12, 12", "-8"])
def test_a_length_that_is_no_number_is_not_believed(length: str) -> None:
    """`Content-Length` as some servers and proxies send it."""
    head = f"HTTP/1.0 200 OK\r\nContent-Type: text/csv\r\nContent-Length: {length}\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as client:
                client.recv(2**16)
                client.sendall(head.encode() + TABLE)

        threading.Thread(target=answer, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x.csv"
        assert kept(import_source(address)) == {"x.csv": TABLE}


@pytest.mark.parametrize(("status", "told"), [(416, "does not send it"), (206, "sent a part of")])
def test_a_server_that_sends_a_part_unasked_is_refused(
    site: Site, refused: Refused, status: int, told: str
) -> None:
    site.files["/x.csv"] = (TABLE, CSV)
    site.statuses = [status] * 3
    assert told in refused(site.address("/x.csv"))


def test_a_download_that_changed_meanwhile_starts_anew(site: Site, refused: Refused) -> None:
    address = site.address("/x.csv")
    site.files["/x.csv"] = (b"old" * 1_000_000, CSV | {"ETag": '"1"'})
    site.breaks = 5
    assert "broke off" in refused(address)
    site.files["/x.csv"] = (b"new" * 1_000_000, CSV | {"ETag": '"2"'})
    assert kept(import_source(address)) == {"x.csv": b"new" * 1_000_000}


@pytest.mark.parametrize(("careless", "behind"), [(True, 0), (False, 500)])
def test_a_part_of_another_version_or_place_is_not_put_behind_what_is_here(
    site: Site, refused: Refused, careless: bool, behind: int
) -> None:
    address = site.address("/x.csv")
    site.files["/x.csv"] = (b"old" * 1_000_000, CSV | {"ETag": '"1"'})
    site.breaks = 5
    assert "broke off" in refused(address)
    content = b"new" * 1_000_000
    site.files["/x.csv"] = (content, CSV | {"ETag": '"2"' if careless else '"1"'})
    site.careless, site.behind = careless, behind
    assert kept(import_source(address)) == {"x.csv": content}


@pytest.mark.parametrize("cut", [0, 8])
def test_what_a_server_packs_on_the_way_is_kept_packed_and_a_cut_is_noticed(
    site: Site, cut: int
) -> None:
    rows = "".join(f"{number};x{number}\n" for number in range(1000))
    packed = gzip.compress(f"a;b\n{rows}".encode())
    site.files["/x.csv"] = (packed[: len(packed) - cut], CSV | {"Content-Encoding": "gzip"})
    table = import_source(site.address("/x.csv"))
    assert table.name == "x.csv.gz"
    if cut:
        with pytest.raises(UserError, match="ended before"):
            read(DataSettings(table=table))
    else:
        assert read(DataSettings(table=table)).rows == 1000


def test_a_server_that_is_busy_is_asked_again(site: Site) -> None:
    site.files["/x.csv"] = (TABLE, CSV)
    site.statuses = [503, 429]
    assert kept(import_source(site.address("/x.csv"))) == {"x.csv": TABLE}


def test_what_a_server_refuses_is_reported_in_a_line(site: Site, refused: Refused) -> None:
    page = b"\n<!DOCTYPE html><html><body>Log in</body></html>"
    site.files["/login.csv"] = (page, {"Content-Type": "text/csv"})
    assert "sent a web page, not data" in refused(site.address("/login.csv"))
    assert "there is nothing at this address (404" in refused(site.address("/none.csv"))
    site.statuses = [403]
    told = refused(site.address("/x.csv?token=tiger"))
    assert "wants a login" in told
    assert "tiger" not in told
    assert "cannot be reached" in refused("http://127.0.0.1:1/x.csv")


SHEET = "https://docs.google.com/spreadsheets/d/1AbC-d_ef0123456789ghijklmnop"
DRIVE = "https://drive.usercontent.google.com/download?id=1AbC-d_ef&export=download&confirm=t"
GITHUB, FACE = "https://github.com/me/birds", "https://huggingface.co/datasets/me/birds"


@pytest.mark.parametrize(
    ("link", "file"),
    [
        (f"{SHEET}/edit#gid=0", f"{SHEET}/export?format=csv&gid=0"),
        (f"{SHEET}/edit?gid=12#gid=12", f"{SHEET}/export?format=csv&gid=12"),
        (f"{SHEET}/edit?usp=sharing", f"{SHEET}/export?format=csv"),
        (SHEET.replace("/d/", "/u/1/d/"), f"{SHEET}/export?format=csv"),
        (
            "https://docs.google.com/spreadsheets/d/e/2PACX-1v/pubhtml?gid=7&single=true",
            "https://docs.google.com/spreadsheets/d/e/2PACX-1v/pub?output=csv&gid=7&single=true",
        ),
        ("https://drive.google.com/file/d/1AbC-d_ef/view?usp=drive_link", DRIVE),
        ("https://drive.google.com/open?id=1AbC-d_ef", DRIVE),
        (
            "https://www.dropbox.com/scl/fi/x1/a%20b.csv?rlkey=k&st=s&dl=0",
            "https://www.dropbox.com/scl/fi/x1/a%20b.csv?rlkey=k&st=s&dl=1",
        ),
        ("https://www.dropbox.com/s/x1/b.csv", "https://www.dropbox.com/s/x1/b.csv?dl=1"),
        (f"{GITHUB}/blob/main/data/b.csv", f"{GITHUB}/raw/main/data/b.csv"),
        (f"{GITHUB}/blob/a/branch/b%20c.csv#L3", f"{GITHUB}/raw/a/branch/b%20c.csv"),
        (f"{FACE}/blob/main/data/b.csv", f"{FACE}/resolve/main/data/b.csv"),
    ],
)
def test_a_link_that_people_share_leads_to_the_file_itself(link: str, file: str) -> None:
    page, found = find_file(link)
    assert found == file
    assert page
    assert find_file(file) == ("", file)


@pytest.mark.parametrize(
    "address",
    [
        "https://www.dropbox.com/s/x1/b.csv?raw=1",
        "https://docs.google.com/document/d/1AbC-d_ef0123456789ghijklmnop/edit",
        "https://drive.google.com/drive/folders/1AbC-d_ef",
        f"{GITHUB}/tree/main/data",
        "https://raw.githubusercontent.com/me/birds/main/blob/b.csv",
        "https://example.org/me/birds/blob/main/b.csv?token=${WORD}#x",
    ],
)
def test_another_address_stays_as_it_is(address: str) -> None:
    assert find_file(address) == ("", address)


def test_the_page_of_a_file_is_read_and_logged_as_it_was_given(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    refused: Refused,
) -> None:
    """The server is a proxy, which gets requests to all hosts."""
    monkeypatch.setenv("http_proxy", site.address(""))
    file, link = (
        "http://github.com/me/birds/raw/main/b.csv",
        "http://github.com/me/birds/blob/main/b.csv",
    )
    site.files[file] = (TABLE, CSV)
    sheet = SHEET.replace("https", "http")
    page = b"<!-- Google -->\n<!DOCTYPE html><html lang=en><title>Sign in</title>"
    site.files[f"{sheet}/export"] = (page, {"Content-Type": "text/html"})
    told = refused(f"{sheet}/edit#gid=0")
    assert "sent a web page, not data" in told
    assert "share it with everyone who has the link" in told
    capsys.readouterr()

    table = import_source(link)
    assert kept(table) == {"b.csv": TABLE}
    assert f"GitHub's page of the file: reading {file}\n" in capsys.readouterr().out
    assert [entry.source for entry in load_entries()] == [link]
    assert import_source(link) == table
    site.files[f"{sheet}/export"] = (TABLE * 2, CSV)
    assert import_source(f"{sheet}/edit#gid=0").parts[:3] == ("data", "raw", "google-sheet")
    assert load_entries()[-1].source == f"{sheet}/edit#gid=0"


# an S3 store


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": store,
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": "tiger",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    bucket = boto3.resource("s3", region_name="us-east-1").create_bucket(Bucket="shop")
    bucket.objects.delete()
    return bucket


def test_an_object_of_a_bucket_arrives(bucket: Any) -> None:
    bucket.put_object(Key="2026/orders.csv", Body=TABLE)
    bucket.put_object(Key="2026/orders.csv.gz", Body=gzip.compress(TABLE, mtime=0))
    assert kept(import_source("s3://shop/2026/orders.csv")) == {"orders.csv": TABLE}
    assert no_secret_anywhere("tiger")


def test_all_tables_below_a_prefix_arrive(bucket: Any) -> None:
    for key in ("2026/", "2026/1/a.csv", "2026/b.csv", "2026/notes.md", "2025/c.csv"):
        bucket.put_object(Key=key, Body=TABLE if key.endswith("v") else b"")
    assert set(kept(import_source("s3://shop/2026/"))) == {"1/a.csv", "b.csv"}
    assert set(kept(import_source("s3://shop/20"))) == {"2026/1/a.csv", "2026/b.csv", "2025/c.csv"}


def test_what_a_store_refuses_is_reported_in_a_line(
    bucket: Any, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no bucket 'none'" in refused("s3://none/x.csv")
    assert "no object has this key" in refused("s3://shop/x.csv")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "credentials" in refused("s3://shop/x.csv")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "set AWS_ACCESS_KEY_ID" in refused("s3://shop/x.csv")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tiger")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1 cannot be reached" in refused("s3://shop/x.csv")


# databases


MANY = """
select n as id,
       case when n > 25000 then n / 8.0::float8 end as late,
       (n * 1000000.25)::numeric(20, 2) as price,
       n % 2 = 0 as even,
       date '2026-01-01' + n % 365 as day,
       timestamptz '2026-01-01 12:00+00' as at,
       'Zürich; "' || n || '"' as city,
       json_build_object('n', n) as nested,
       array[n, n + 1] as several,
       null as nothing
from generate_series(1, 50000) n where 'x%' like 'x%%'
"""


def test_a_query_arrives_in_the_databases_types_and_in_batches(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def as_array(values: Any) -> Any:
        sizes.append(len(values))
        return original(values)

    original = database.as_array
    monkeypatch.setattr(database, "as_array", as_array)
    table = pl.read_parquet(import_source(postgres, query=MANY))
    assert len(table) == 50_000
    assert table["id"].to_list() == list(range(1, 50_001))
    assert max(sizes) <= database.ROWS
    kinds = {name: str(kind) for name, kind in table.schema.items()}
    assert kinds["id"] == "Int64"
    assert kinds["late"] == "Float64"  # although the first batch has none
    assert kinds["even"] == "Boolean"
    assert kinds["day"] == "Date"
    assert kinds["at"].startswith("Datetime")
    assert {kinds[name] for name in ("city", "nested", "several", "nothing")} == {"String"}
    last = table.row(-1, named=True)
    assert last["price"] == decimal.Decimal("50000012500.00")
    assert last["day"] == dt.date(2026, 1, 1) + dt.timedelta(days=50_000 % 365)
    assert (last["nested"], last["several"]) == ('{"n": 50000}', "[50000, 50001]")
    assert load_entries()[0].query == MANY
    assert "tiger" not in load_entries()[0].source
    assert no_secret_anywhere("tiger")


def test_what_a_database_refuses_is_reported_in_a_line(
    postgres: str, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 'relation "none" does not exist' in refused(postgres, query="select * from none")
    assert "syntax error" in refused(postgres, query="selekt 1")
    assert "rename one" in refused(postgres, query="select 1 as a, 2 as a")
    assert "returns no rows" in refused(postgres, query="select 1 as a where false")
    told = refused(postgres.replace("tiger", "lion-7"), query="select 1")
    assert "password authentication failed" in told
    assert "lion-7" not in told
    nowhere = postgres.rsplit(":", 1)[0] + ":1/postgres"
    assert "onnection refused" in refused(nowhere, query="select 1")
    assert "nope" in refused("nope://localhost/db", query="select 1")
    told = refused("mysql+pymysql://localhost/db", query="select 1")
    assert "needs the package pymysql" in told


def test_a_query_that_would_change_something_does_not(postgres: str) -> None:
    made = "create table cities as select 'Bern' as name"
    import sqlalchemy as sa

    engine = sa.create_engine(postgres.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql(made)
    with pytest.raises(UserError):
        import_source(postgres, query="delete from cities returning name")
    assert pl.read_parquet(import_source(postgres, query="select * from cities"))[
        "name"
    ].to_list() == ["Bern"]


def test_a_password_may_come_from_the_environment(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_WORD", "tiger")
    address = postgres.replace("tiger", "${DB_WORD}")
    import_source(address, query="select 1 as a")
    assert load_entries()[0].source == address


def test_sqlite_is_read_and_a_missing_one_is_not_made(refused: Refused) -> None:
    with sqlite3.connect("shop.db") as connection:
        connection.execute("create table orders (id integer, note)")
        connection.executemany("insert into orders values (?, ?)", [(1, 2), (2, "two"), (3, None)])
    connection.close()
    before = Path("shop.db").read_bytes()
    assert "no database file none.db" in refused("sqlite:///none.db", query="select 1")
    assert "no such table" in refused("sqlite:///shop.db", query="select * from none")
    table = pl.read_parquet(import_source("sqlite:///shop.db", query="select * from orders;"))
    assert table.to_dict(as_series=False) == {"id": [1, 2, 3], "note": ["2", "two", None]}
    assert Path("shop.db").read_bytes() == before
    assert not Path("none.db").exists()
