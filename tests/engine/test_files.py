"""Files of rows over HTTP: CSV and Arrow streams, answered in kind while they come in."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from coldstart.serve import create_app
from engine.support import PROJECT

CSV, ARROW = "text/csv", "application/vnd.apache.arrow.stream"
Api = Callable[..., AbstractContextManager[httpx2.Client]]


def table(rows: int = 100) -> pl.DataFrame:
    """Rows for the small project, with something missing in each column that allows it."""
    dice = random.Random(0)
    days = [dt.date(2024, 1 + i % 12, 15) if i % 9 else None for i in range(rows)]
    return pl.DataFrame(
        {
            "picked": days,
            "weight": [dice.uniform(50, 250) if i % 7 else None for i in range(rows)],
            "length": [float(dice.randint(2, 20)) for _ in range(rows)],
            "colour": [dice.choice(["red", "green", "ultraviolet 🐦", None]) for _ in range(rows)],
            "shop": [dice.choice(["North", 'S"o,u\nth', None]) for _ in range(rows)],
            "grade": [dice.choice("AB") for _ in range(rows)],
            "bruised": [dice.random() < 0.5 for _ in range(rows)],
        }
    )


def body(rows: pl.DataFrame, kind: str) -> bytes:
    """Write a table in one of the two kinds."""
    file = io.BytesIO()
    rows.write_csv(file) if kind == CSV else rows.write_ipc_stream(file)
    return file.getvalue()


def read(content: bytes, kind: str) -> pl.DataFrame:
    """Read answers in one of the two kinds."""
    file = io.BytesIO(content)
    strings = {"label": pl.String}
    if kind == CSV:
        return pl.read_csv(file, schema_overrides=strings)
    return pl.read_ipc_stream(file)


@pytest.fixture(scope="module")
def api(small_bundle: Path, served: Api) -> Iterator[httpx2.Client]:
    """The small project's API."""
    with served(small_bundle.parents[1]) as client:
        yield client


def post(api: httpx2.Client, content: Any, kind: str) -> httpx2.Response:
    return api.post("/predict", content=content, headers={"Content-Type": kind})


def children(api: Any) -> list[Path]:
    """Processes that the server has started and that still run."""
    task = Path(f"/proc/{api.process.pid}/task/{api.process.pid}/children")
    return [Path("/proc") / pid for pid in task.read_text().split()]


def wait_for_the_end(api: Any) -> None:
    """Wait until the server has no process left that answers a file."""
    limit = time.monotonic() + 20
    while children(api):
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.mark.parametrize("kind", [CSV, ARROW])
def test_a_file_is_answered_as_its_rows_are_in_json(api: httpx2.Client, kind: str) -> None:
    rows = table()
    answer = post(api, body(rows, kind), kind)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == kind
    found = read(answer.content, kind)
    days = rows.with_columns(pl.col("picked").cast(pl.String)).to_dicts()
    said = api.post("/predict", json={"rows": days}).json()["predictions"]
    assert found["label"].to_list() == [one["label"] for one in said]
    for name in ("false", "true"):
        shares = [one["probabilities"][name] for one in said]
        assert found[f"probability {name}"].to_list() == pytest.approx(shares, abs=1e-6)


def test_columns_come_in_any_order_and_kind_of_number(api: httpx2.Client) -> None:
    rows = table().select("grade", "bruised", "weight")
    usual = post(api, body(rows, ARROW), ARROW).content
    other = rows.select(
        pl.col("weight").cast(pl.Float32).cast(pl.Float64),
        pl.col("grade").cast(pl.Categorical),
        "bruised",
    )
    assert read(post(api, body(other, ARROW), ARROW).content, ARROW).equals(read(usual, ARROW))
    whole = rows.with_columns(pl.col("weight").round().cast(pl.Int16))
    assert post(api, body(whole, ARROW), ARROW).status_code == 200


def compressed(rows: int, batches: int) -> bytes:
    """Write rows that are all alike as a compressed stream."""
    one = pa.record_batch(
        {
            "grade": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), pa.array(["A"])),
            "bruised": pa.array(np.ones(rows, bool)),
            "shop": pa.nulls(rows),
        }
    )
    file, options = io.BytesIO(), pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(file, one.schema, options=options) as stream:
        for _ in range(batches):
            stream.write_batch(one)
    return file.getvalue()


def test_a_few_bytes_that_unpack_to_millions_of_rows_are_refused(api: httpx2.Client) -> None:
    whole, in_batches = compressed(20_000_000, 1), compressed(100_000, 200)
    assert max(len(whole), len(in_batches)) < 100_000
    refused = post(api, whole, ARROW)
    assert refused.status_code == 422
    assert "more than 200 times as large as the file" in refused.text
    with pytest.raises(httpx2.RemoteProtocolError):  # the first predictions had been sent
        post(api, in_batches, ARROW)
    wait_for_the_end(api)


def test_a_compressed_stream_is_answered(api: httpx2.Client) -> None:
    file = io.BytesIO()
    table(20_000).write_ipc_stream(file, compression="zstd")
    assert len(read(post(api, file.getvalue(), ARROW).content, ARROW)) == 20_000
    assert len(read(post(api, compressed(100_000, 1), ARROW).content, ARROW)) == 100_000


@pytest.mark.parametrize("kind", [CSV, ARROW])
def test_a_ref_is_returned_beside_the_predictions(api: httpx2.Client, kind: str) -> None:
    rows = table(20_000)
    usual = read(post(api, body(rows, kind), kind).content, kind)
    refs = [f"order {number}, 🐦" if number % 5 else None for number in range(len(rows))]
    given = rows.insert_column(2, pl.Series("ref", refs))
    found = read(post(api, body(given, kind), kind).content, kind)
    assert found.columns == [*usual.columns, "ref"]
    assert found["ref"].to_list() == refs
    assert found.drop("ref").equals(usual)
    if kind == ARROW:
        coded = given.with_columns(pl.col("ref").cast(pl.Categorical))
        answer = post(api, body(coded, kind), kind)
        assert read(answer.content, kind)["ref"].to_list() == refs
        numbers = given.with_columns(ref=pl.lit(17))
        refused = post(api, body(numbers, kind), kind)
        assert refused.status_code == 422
        assert refused.json()["detail"][0]["loc"] == ["body", 0, "ref"]


HEADER = b"grade,bruised,weight\n"
GOOD = HEADER.decode() + "A,true,1\n"


@pytest.mark.parametrize(
    ("content", "where", "complaint"),
    [
        (GOOD + "A,true,heavy\n", [1, "weight"], "expected Float64, not 'heavy'"),
        (GOOD + "A,true,1000.5\n", [1, "weight"], "less than or equal to 1000"),
        (GOOD + "A,true,inf\n", [1, "weight"], "finite"),
        (GOOD + "A,perhaps,1\n", [1, "bruised"], "expected Boolean, not 'perhaps'"),
        (GOOD + "C,true,1\n", [1, "grade"], "'A' or 'B'"),
        (GOOD + ",true,1\n", [1, "grade"], "a value is needed"),
        (GOOD + "A,,1\n", [1, "bruised"], "a value is needed"),
        ("grade,bruised,wieght\nA,true,1\n", [0, "wieght"], "there is no such column"),
        ("grade,grade,bruised\nA,A,true\n", [0, "grade"], "twice"),
        ("grade,weight\nA,1\n", [0, "bruised"], "the column is missing"),
        (GOOD.replace("weight", "ref").replace("1", "r" * 1001), [0, "ref"], "1000"),
        (GOOD.replace("weight", "colour").replace("1", "r" * 1001), [0, "colour"], "1000"),
        ("", [0, "grade"], "the column is missing"),
    ],
)
def test_a_bad_value_gets_422_with_its_row_and_column(
    api: httpx2.Client, content: str, where: list[Any], complaint: str
) -> None:
    answer = post(api, content.encode(), CSV)
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["loc"] == ["body", *where]
    assert complaint in problem["msg"]


def test_a_file_that_cannot_be_read_gets_422_and_says_where(api: httpx2.Client) -> None:
    ragged = post(api, (GOOD + "A,true\n").encode(), CSV)
    assert ragged.status_code == 422
    assert "expected 3 got 2" in ragged.json()["detail"][0]["msg"]
    words = table().with_columns(weight=pl.lit("120"))
    wrong = post(api, body(words, ARROW), ARROW)
    assert wrong.status_code == 422
    assert "expected" in wrong.json()["detail"][0]["msg"]


@pytest.mark.parametrize("kind", [CSV, ARROW])
def test_a_file_without_rows_gets_422(api: httpx2.Client, kind: str) -> None:
    answer = post(api, body(table().head(0), kind), kind)
    assert (answer.status_code, answer.json()["detail"][0]["msg"]) == (422, "there are no rows")
    assert post(api, b"", kind).status_code == 422


def test_a_hostile_stream_ends_its_own_process_and_no_other_answer(api: httpx2.Client) -> None:
    good = body(table(30), ARROW)
    dice = random.Random(0)
    for _ in range(12):
        bad = bytearray(good)
        for _ in range(3):
            place = dice.randrange(len(bad) - 8)
            number = dice.choice([2**62, 2**40, -1, 2**31, dice.randrange(2**63)])
            bad[place : place + 8] = (number % 2**64).to_bytes(8, "little")
        assert post(api, bytes(bad), ARROW).status_code in (200, 422)
    assert post(api, good, ARROW).status_code == 200
    wait_for_the_end(api)


def test_answers_come_while_the_file_is_still_being_sent(api: httpx2.Client) -> None:
    """More rows than may wait in memory: by a client that reads, and by one that only sends."""
    rows = body(table(100_000), CSV)
    answer = post(api, rows, CSV)  # sends everything first
    assert len(read(answer.content, CSV)) == 100_000

    head, _, rest = rows.partition(b"\n")
    early: list[bool] = []
    with socket.create_connection((api.base_url.host, api.base_url.port), timeout=20) as sender:
        sender.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
            b"Content-Length: %d\r\n\r\n" % len(rows)
        )
        sender.sendall(head + b"\n" + rest[:-1000])
        early.append(sender.recv(15).startswith(b"HTTP/1.1 200"))
        sender.sendall(rest[-1000:])
        while chunk := sender.recv(65536):
            last = chunk
            if last.endswith(b"0\r\n\r\n"):
                break
    assert early == [True]


def test_an_answer_that_cannot_be_ended_is_broken_off(api: httpx2.Client) -> None:
    rows = body(table(100_000), CSV) + b"2024-01-01,heavy,1,red,North,A,true\n"
    with pytest.raises(httpx2.TransportError):
        post(api, rows, CSV)
    assert api.get("/health/ready").status_code == 200


def test_where_the_client_leaves_the_process_ends(api: Any) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port), timeout=20) as sender:
        sender.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
            b"Content-Length: 1000\r\n\r\n" + GOOD.encode()
        )
        limit = time.monotonic() + 20
        while not children(api) and time.monotonic() < limit:
            time.sleep(0.05)
        assert children(api)
        assert post(api, GOOD.encode(), CSV).status_code == 200  # beside it
    wait_for_the_end(api)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux chooses by a score")
def test_where_memory_ends_the_process_of_a_file_is_ended_before_the_api(api: Any) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port), timeout=20) as sender:
        sender.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
            b"Content-Length: 1000\r\n\r\n" + GOOD.encode()
        )
        score, limit = "", time.monotonic() + 20
        while score != "1000" and time.monotonic() < limit:
            time.sleep(0.05)
            for child in children(api):
                score = (child / "oom_score_adj").read_text().strip()
    assert score == "1000"
    wait_for_the_end(api)


def test_few_files_are_answered_at_once_and_the_size_of_one_is_limited(
    small_bundle: Path, served: Api
) -> None:
    with served(small_bundle.parents[1], "--serving.file-bytes", "100") as api:
        assert post(api, (GOOD + "A,true,1\n" * 100).encode(), CSV).status_code == 413
        wait_for_the_end(api)  # the next loop counts processes
        address = (api.base_url.host, api.base_url.port)
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
        slow = [socket.create_connection(address, timeout=60) for _ in range(2)]
        for sender in slow:
            sender.sendall(head + b"Content-Length: 90\r\n\r\n" + GOOD.encode())
        limit = time.monotonic() + 60
        while len(children(api)) < 2 and time.monotonic() < limit:
            time.sleep(0.05)
        refused = post(api, GOOD.encode(), CSV)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert (
            api.post("/predict", json={"rows": [{"grade": "A", "bruised": True}]}).status_code
            == 200
        )
        for sender in slow:
            sender.close()


SLOW_BYTES, SLOW_SECONDS = 200_000, 0.9  # less a second than a client must move to keep its place


def send_slowly(connection: socket.socket, end: threading.Event) -> None:
    """Send rows, and no end of them, and read what comes."""
    while not end.wait(SLOW_SECONDS):
        connection.sendall(b"A,true,1\n" * (SLOW_BYTES // 9))
        with contextlib.suppress(BlockingIOError):
            while connection.recv(2**20, socket.MSG_DONTWAIT):
                pass


def read_slowly(connection: socket.socket, end: threading.Event) -> None:
    """Send many rows, and read little of the response."""
    connection.sendall(b"A,true,1\n" * 400_000)
    while not end.wait(SLOW_SECONDS):
        connection.recv(SLOW_BYTES, socket.MSG_WAITALL)


@pytest.mark.parametrize("slowly", [send_slowly, read_slowly])
def test_two_slow_clients_give_way_to_a_third_file(
    small_bundle: Path, served: Api, slowly: Callable[..., None]
) -> None:
    size = 400_000 * 9 if slowly is read_slowly else 10**9
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
    end = threading.Event()

    def hold(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            slowly(connection, end)

    with served(small_bundle.parents[1], "--serving.request-timeout", "2") as api:
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                connection = stack.enter_context(socket.socket())
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.connect((api.base_url.host, api.base_url.port))
                content = head + b"Content-Length: %d\r\n\r\n" % (len(HEADER) + size) + HEADER
                connection.sendall(content)
                thread = threading.Thread(target=hold, args=(connection,))
                thread.start()
                stack.callback(thread.join)
            stack.callback(end.set)
            limit = time.monotonic() + 60
            while len(children(api)) < 2 and time.monotonic() < limit:
                time.sleep(0.05)
            codes = [post(api, GOOD.encode(), CSV).status_code]
            while codes[-1] != 200 and time.monotonic() < limit:
                time.sleep(0.5)
                codes.append(post(api, GOOD.encode(), CSV).status_code)
        assert set(codes[:-1]) == {503}
        assert codes[-1] == 200
        wait_for_the_end(api)


def test_predictions_that_nobody_reads_fill_a_limited_file(
    small_bundle: Path, served: Api, tmp_path: Path
) -> None:
    """The file has no name: its size is that of the server's deleted file."""
    rows = HEADER + b"A,true,1\n" * 1_000_000
    # The predictions are thrice as long.
    options = ("--serving.file-bytes", str(len(rows)), "--serving.response-timeout", "120")
    with served(small_bundle.parents[1], *options) as api, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((api.base_url.host, api.base_url.port))
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(rows))
        connection.settimeout(5)
        with contextlib.suppress(TimeoutError):  # the server stops reading
            connection.sendall(rows)
        sizes, limit = [0, 1], time.monotonic() + 60
        while (sizes[-1] > sizes[-2] or sizes[-1] < len(rows)) and time.monotonic() < limit:
            time.sleep(1)
            sizes.append(deleted_files(api.process.pid))  # type: ignore[attr-defined]
        assert len(rows) <= sizes[-1] < len(rows) + 200_000


def deleted_files(pid: int) -> int:
    """Return the bytes in files without a name that a process has open."""
    size = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()).endswith("(deleted)"):
                size += descriptor.stat().st_size
    return size


def test_where_no_process_can_be_started_later_files_are_answered_all_the_same(
    champion: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with TestClient(create_app(PROJECT, champion)) as api:

        def ask() -> httpx2.Response:
            headers = {"Content-Type": CSV}
            return api.post("/predict", content=GOOD.encode(), headers=headers)

        with monkeypatch.context() as broken:
            broken.setattr("sys.executable", "/nowhere/python")
            for _ in range(3):
                refused = ask()
                assert refused.status_code == 503
                assert refused.json()["detail"] == "a file cannot be predicted now"
                assert int(refused.headers["retry-after"]) > 0
        assert "No such file" in caplog.text
        assert ask().status_code == 200


def test_a_file_is_counted_and_its_predictions_are_kept(
    champion: Path, served: Api, tmp_path: Path
) -> None:
    refs = [f"order {number}" for number in range(100)]
    with served(champion.parents[1], "--serving.record.folder", str(tmp_path / "kept")) as api:
        answer = post(api, body(table().with_columns(ref=pl.Series(refs)), CSV), CSV)
        lines = api.get("/metrics").text.splitlines()
        assert 'api_rows_total{role="champion",version="1"} 100.0' in lines
    kept = pl.read_parquet(tmp_path / "kept" / "*.parquet")
    assert kept["__row__"].to_list() == list(range(100))
    assert set(kept["__request__"]) == {answer.headers["x-request-id"]}
    assert kept["__prediction__"].to_list() == pytest.approx(
        read(answer.content, CSV)["probability true"].to_list()
    )
    assert kept["__ref__"].to_list() == refs
    assert kept.select(table().columns).equals(table())


def test_the_process_that_predicts_a_file_loads_no_api() -> None:
    script = (
        "import sys, coldstart.serve._bulk;"
        "print({'fastapi', 'uvicorn', 'pydantic_settings', 'onnxruntime'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "{'onnxruntime'}\n", done.stderr
