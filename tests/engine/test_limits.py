"""Access and limits: who gets predictions, and what one client cannot do to the others."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import http.server
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser

from coldstart.config._sections import ServingSettings
from coldstart.errors import UserError
from coldstart.serve import create_app
from coldstart.serve._access import (
    MAX_BUCKETS,
    RELOAD_SECONDS,
    Access,
    Bucket,
    digest,
    new_key,
    read_keys,
)
from coldstart.serve._limits import Limits
from engine.support import PROJECT, main, resident

ROWS = {"rows": [{"grade": "A", "bruised": False}]}


@pytest.fixture
def client(small_bundle: Path) -> Callable[..., TestClient]:
    """`client(**serving)`: the small project's API with these settings."""
    return lambda **serving: TestClient(
        create_app(PROJECT, small_bundle, ServingSettings(**serving))
    )


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_only_who_has_a_key_is_answered_and_keys_change_without_a_restart(
    client: Callable[..., TestClient], tmp_path: Path
) -> None:
    path = tmp_path / "keys.txt"
    ann, bob = new_key(path, "ann"), new_key(path, "bob")
    api = client(keys=path)
    assert api.post("/predict", json=ROWS).status_code == 401
    assert api.post("/predict", json=ROWS, headers=bearer("wrong")).status_code == 401
    assert api.get("/model").status_code == 401
    assert api.get("/health/live").status_code == 200
    for key in (ann, bob):
        assert api.post("/predict", json=ROWS, headers=bearer(key)).status_code == 200
    assert api.post("/predict", json=ROWS, headers={"X-API-Key": ann}).status_code == 200

    kept = [line for line in path.read_text().splitlines() if not line.startswith("bob")]
    path.write_text("# without bob\n" + "\n".join(kept) + "\n")
    eve = new_key(path, "eve")
    time.sleep(2 * RELOAD_SECONDS)
    assert api.post("/predict", json=ROWS, headers=bearer(bob)).status_code == 401
    assert api.post("/predict", json=ROWS, headers=bearer(eve)).status_code == 200
    path.write_text("broken")
    time.sleep(2 * RELOAD_SECONDS)
    assert api.post("/predict", json=ROWS, headers=bearer(eve)).status_code == 200


@pytest.mark.parametrize("place", [0, 1, 2, 31, 32, 62, 63])
def test_every_digit_of_a_hash_counts(
    client: Callable[..., TestClient], tmp_path: Path, place: int
) -> None:
    path = tmp_path / "keys.txt"
    key = new_key(path, "ann")
    name, known = path.read_text().split()
    other = "0" if known[place] != "0" else "1"
    path.write_text(f"{name} {known[:place]}{other}{known[place + 1 :]}\n")
    answer = client(keys=path).post("/predict", json=ROWS, headers=bearer(key))
    assert answer.status_code == 401


def test_without_the_file_of_keys_no_key_is_valid_until_it_is_there_again(
    client: Callable[..., TestClient], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.txt"
    ann = new_key(path, "ann")
    api = client(keys=path)

    def ask() -> int:
        time.sleep(2 * RELOAD_SECONDS)
        status: int = api.post("/predict", json=ROWS, headers=bearer(ann)).status_code
        return status

    assert ask() == 200
    path.rename(tmp_path / "away")
    assert [ask(), ask()] == [401, 401]
    (told,) = [one.message for one in caplog.records if one.levelname == "ERROR"]
    assert told == f"{path}: No such file or directory; no key is valid"
    assert api.get("/health/live").status_code == 200
    (tmp_path / "away").rename(path)
    assert ask() == 200
    path.write_bytes(b"\xff\xfe no text\n")  # a slip, as each invalid line
    assert ask() == 200
    assert "the keys from before are still valid" in caplog.text


def test_the_documentation_is_open_and_says_which_key_is_needed_where(
    client: Callable[..., TestClient], tmp_path: Path
) -> None:
    path = tmp_path / "keys.txt"
    key = new_key(path, "ann")
    api = client(keys=path)
    assert api.get("/docs").status_code == 200
    document = api.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert {one["type"] for one in schemes.values()} == {"http", "apiKey"}
    for route, methods in document["paths"].items():
        (about,) = methods.values()
        assert about.get("security", []) == (
            [] if route.startswith("/health/") else [{name: []} for name in schemes]
        )
        (method,) = methods
        answer = api.request(method, route, json=ROWS)
        assert answer.status_code == (200 if route.startswith("/health/") else 401)
        assert api.request(method, route, json=ROWS, headers=bearer(key)).status_code == 200
    assert "securitySchemes" not in client().get("/openapi.json").json()["components"]


def test_keys_are_kept_as_hashes_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    key = new_key(path, "ann")
    assert key not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert list(read_keys(path)) == ["ann"]
    with pytest.raises(UserError, match="has a key ann already"):
        new_key(path, "ann")
    path.write_text("ann secret\n")
    with pytest.raises(UserError, match="line 1: expected a name and a hash"):
        read_keys(path)


@pytest.mark.parametrize("digit", ["é", "g", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_hash_that_is_not_hexadecimal_is_refused_and_locks_nobody_out(
    client: Callable[..., TestClient], tmp_path: Path, digit: str
) -> None:
    path = tmp_path / "keys.txt"
    key = bearer(new_key(path, "ann"))
    api = client(keys=path)
    assert api.post("/predict", json=ROWS, headers=key).status_code == 200
    with path.open("a", encoding="utf-8") as file:
        file.write(f"bob {digit * 64}\n")
    time.sleep(2 * RELOAD_SECONDS)
    assert api.post("/predict", json=ROWS, headers=key).status_code == 200
    with pytest.raises(UserError, match="line 2: expected a name and a hash"):
        read_keys(path)


def test_make_key_prints_it_once_and_says_what_to_set(
    small_project: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    small_project()
    assert main(["key", "--name", "ann"]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.strip()) >= 40
    assert "keys: keys.txt" in shown.err
    assert read_keys(Path("keys.txt"))


def test_beyond_so_many_a_minute_a_client_gets_the_seconds_to_wait(
    client: Callable[..., TestClient],
) -> None:
    api = client(per_minute=3)
    codes = [api.post("/predict", json=ROWS).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    refused = api.post("/predict", json=ROWS)
    assert 1 <= int(refused.headers["retry-after"]) <= 21
    assert api.get("/health/live").status_code == 200


def from_many_addresses(app: Any, addresses: list[str], key: str = "") -> list[int]:
    """Send a request from each address; return the statuses."""
    codes = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            codes.append(message["status"])

    async def ask() -> None:
        headers = [(b"authorization", b"Bearer " + key.encode())] if key else []
        for address in addresses:
            scope = {"type": "http", "path": "/docs", "headers": headers, "client": (address, 1)}
            await app(scope if not key else scope | {"path": "/predict"}, None, send)

    asyncio.run(ask())
    return codes


async def accept(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def test_the_limit_of_who_asks_holds_however_many_other_addresses_ask(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    key = new_key(path, "ann")
    access = Access(accept, path, per_minute=2)
    others = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(2 * MAX_BUCKETS)]
    assert from_many_addresses(access, ["10.9.9.9"] * 3, key) == [200, 200, 429]
    mixed = [one for n in range(0, len(others), 1000) for one in (*others[n : n + 1000], "1.1.1.1")]
    codes = from_many_addresses(access, mixed)
    busy = [code for code, address in zip(codes, mixed, strict=True) if address == "1.1.1.1"]
    assert busy == [200, 200] + [429] * (len(busy) - 2)
    assert len(access.by_address.buckets) <= MAX_BUCKETS
    assert from_many_addresses(access, ["10.9.9.9"], key) == [429]


@pytest.mark.parametrize(
    ("addresses", "codes"),
    [
        (["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"], [200, 429, 200]),
        (["10.0.0.1", "10.0.0.2"], [200, 200]),
        (["::ffff:10.0.0.1", "::ffff:10.0.0.2"], [200, 200]),
        (["made up", "something else"], [200, 429]),
    ],
)
def test_the_limit_of_an_address_is_that_of_its_ipv6_network(
    addresses: list[str], codes: list[int]
) -> None:
    assert from_many_addresses(Access(accept, None, per_minute=1), addresses) == codes


@pytest.mark.parametrize(("trusted", "codes"), [("", [200, 429]), ("127.0.0.1", [200, 200])])
def test_a_client_chooses_no_address_unless_the_proxy_that_sends_it_is_trusted(
    small_bundle: Path, served: Callable[..., Any], trusted: str, codes: list[int]
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "FORWARDED_ALLOW_IPS"}
    if trusted:
        environment["FORWARDED_ALLOW_IPS"] = trusted
    limit = ("--serving.per-minute", "1")
    with served(small_bundle.parents[1], *limit, env=environment) as api:
        found = [
            api.post("/predict", json=ROWS, headers={"X-Forwarded-For": f"10.0.0.{n}"}).status_code
            for n in range(2)
        ]
    assert found == codes


def test_a_body_that_is_too_long_gets_413(client: Callable[..., TestClient]) -> None:
    api = client(max_bytes=1000)
    assert api.post("/predict", json=ROWS).status_code == 200
    assert api.post("/predict", json={"rows": ROWS["rows"] * 100}).status_code == 413


def test_what_is_not_said_to_be_json_gets_415(client: Callable[..., TestClient]) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        told = client().post("/predict", content=b'{"rows": []}', headers={"Content-Type": kind})
        assert told.status_code == 415


def test_beyond_max_concurrency_requests_are_refused_without_waiting() -> None:
    release = asyncio.Event()
    codes: list[int] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            codes.append(message["status"])

    async def ask() -> None:
        limits = Limits(slow, max_concurrency=2)
        scope = {"type": "http", "path": "/predict", "headers": []}
        asked = [asyncio.create_task(limits(scope, None, send)) for _ in range(5)]  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert codes == [503] * 3  # while the first two are still in progress
        release.set()
        await asyncio.gather(*asked)
        await limits(scope, None, send)  # type: ignore[arg-type]

    asyncio.run(ask())
    assert codes == [503] * 3 + [200] * 3


def test_places_are_counted_one_by_one_and_a_health_check_takes_none() -> None:
    """Of three requests, one ends: there is room for one more, and for health checks always."""
    gates = [asyncio.Event() for _ in range(6)]
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gates[int((await receive())["body"])].wait()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def ask() -> None:
        limits = Limits(app, max_concurrency=3)

        def begin(number: int, path: str = "/predict") -> asyncio.Task[None]:
            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": str(number)}

            scope = {"type": "http", "path": path, "headers": []}
            return asyncio.create_task(limits(scope, receive, send))  # type: ignore[arg-type]

        asked = [begin(0), begin(1), begin(2)]
        await asyncio.sleep(0)
        gates[0].set()
        await asked[0]
        assert limits.in_progress == 2
        asked += [begin(3)]
        await asyncio.sleep(0)
        await begin(4)  # which is refused, or it would wait
        gates[5].set()
        await begin(5, "/health/live")
        assert limits.in_progress == 3
        for gate in gates:
            gate.set()
        await asyncio.gather(*asked)
        assert limits.in_progress == 0

    asyncio.run(ask())
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert [start["status"] for start in starts] == [503]
    assert (b"retry-after", b"1") in starts[0]["headers"]


def test_a_bucket_refills_evenly_and_says_how_long_to_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("coldstart.serve._access.time", SimpleNamespace(monotonic=lambda: now))
    bucket = Bucket(2, at=now)
    assert [bucket.take(2), bucket.take(2)] == [0, 0]
    assert bucket.take(2) == 30  # seconds, of 2 requests a minute
    now += 15
    assert bucket.take(2) == 15
    now += 15
    assert bucket.take(2) == 0
    now += 1000
    assert [bucket.take(2), bucket.take(2)] == [0, 0]  # never more than a minute's
    assert bucket.take(2) == 30


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": ""}, {"Authorization": "Bearer "}, {"Authorization": "Basic KEY"},
     {"X-Other": "Bearer KEY"}, {"Authorization": "KEY"}],
)  # fmt: skip
def test_a_key_counts_in_its_headers_alone(
    client: Callable[..., TestClient], tmp_path: Path, headers: dict[str, str]
) -> None:
    path = tmp_path / "keys.txt"
    key = new_key(path, "ann")
    with path.open("a") as file:  # those of no key, and of what stands where none is given
        file.writelines(f"{name} {digest(text)}\n" for name, text in (("a", ""), ("b", "XXXX")))
    sent = {name: value.replace("KEY", key) for name, value in headers.items()}
    assert client(keys=path).post("/predict", json=ROWS, headers=sent).status_code == 401


def test_requests_that_end_with_an_exception_leave_room_for_others() -> None:
    fails = True

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if fails:
            raise ConnectionResetError
        await send({"type": "http.response.start", "status": 200, "headers": []})

    codes: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            codes.append(message["status"])

    limits = Limits(app, max_concurrency=2)
    scope = {"type": "http", "path": "/predict", "headers": []}
    for _ in range(5):
        with pytest.raises(ConnectionResetError):
            asyncio.run(limits(scope, None, send))  # type: ignore[arg-type]
    fails = False
    asyncio.run(limits(scope, None, send))  # type: ignore[arg-type]
    assert codes == [200]


def test_answers_tell_browsers_to_be_careful_and_nothing_of_the_server(
    client: Callable[..., TestClient],
) -> None:
    headers = client().get("/health/live").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


ORIGIN = "https://me.example"


def test_a_page_of_a_listed_origin_may_post_with_a_key_and_read_each_refusal(
    small_bundle: Path, served: Callable[..., Any], tmp_path: Path
) -> None:
    """A preflight has no key, and a response without the header is hidden from the page."""
    path = tmp_path / "keys.txt"
    key = bearer(new_key(path, "ann"))
    preflight = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    options = [
        *("--serving.origins", f'["{ORIGIN}"]', "--serving.keys", str(path)),
        *("--serving.max-concurrency", "1", "--serving.per-minute", "4"),
        *("--serving.max-bytes", "1000"),
    ]
    with served(small_bundle.parents[1], *options) as api:
        allowed = api.options("/predict", headers=preflight)
        assert (allowed.status_code, allowed.text) == (200, "OK")
        assert allowed.headers["access-control-allow-origin"] == ORIGIN
        assert {"GET", "POST"} <= set(allowed.headers["access-control-allow-methods"].split(", "))
        assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
        stranger = preflight | {"Origin": "https://other.example"}
        assert api.options("/predict", headers=stranger).status_code == 400

        def ask(body: Any, **headers: str) -> int:
            response = api.post("/predict", json=body, headers={"Origin": ORIGIN, **headers})
            assert response.headers["access-control-allow-origin"] == ORIGIN
            assert "Retry-After" in response.headers["access-control-expose-headers"]
            status: int = response.status_code
            return status

        bodies = [ROWS, {"rows": []}, {"rows": ROWS["rows"] * 100}]
        assert ask(ROWS) == 401
        assert [ask(body, **key) for body in bodies] == [200, 422, 413]
        assert [ask(ROWS, **key) for _ in range(2)] == [200, 429]
        address = (api.base_url.host, api.base_url.port)
        with socket.create_connection(address) as busy:
            given = f"Authorization: {new_key_of_another(path)}"
            busy.sendall(
                b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                + given.encode()
                + b"\r\nContent-Length: 99\r\n\r\n{"
            )
            limit = time.monotonic() + 20
            while (found := ask(ROWS)) != 503:
                assert found == 401
                assert time.monotonic() < limit


def new_key_of_another(path: Path) -> str:
    """Add a key whose requests nobody has counted yet, and wait until it is known."""
    key = new_key(path, "bob")
    time.sleep(2 * RELOAD_SECONDS)
    return f"Bearer {key}"


def test_pages_of_other_origins_may_not_ask_unless_they_are_listed(
    client: Callable[..., TestClient],
) -> None:
    asking = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    assert client().options("/predict", headers=asking).status_code == 405
    plain = client().post("/predict", json=ROWS, headers={"Origin": ORIGIN})
    assert "access-control-allow-origin" not in plain.headers


def test_a_page_of_a_listed_origin_can_read_why_an_api_is_not_ready(tmp_path: Path) -> None:
    api = TestClient(create_app(PROJECT, tmp_path, ServingSettings(origins=[ORIGIN])))
    response = api.post("/predict", json=ROWS, headers={"Origin": ORIGIN})
    assert response.status_code == 503
    assert response.headers["access-control-allow-origin"] == ORIGIN


ASKING = """async ([address, body, key]) => {
  const headers = {"Content-Type": "application/json", "Authorization": key};
  const options = {method: "POST", headers: headers, body: JSON.stringify(body)};
  try {
    const response = await fetch(address + "/predict", options);
    return [response.status, Object.keys(await response.json())[0]];
  } catch (error) { return [0, error.name]; }
}"""


def test_a_browser_lets_a_page_of_a_listed_origin_post_and_read_and_no_other(
    small_bundle: Path, served: Callable[..., Any], tmp_path: Path, browser: Browser
) -> None:
    (tmp_path / "index.html").write_text("<title>Mine</title>")
    pages = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    path = tmp_path / "keys.txt"
    key = bearer(new_key(path, "ann"))["Authorization"]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), pages) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        port = site.server_address[1]
        listed = f"http://localhost:{port}"
        options = ("--serving.origins", f'["{listed}"]', "--serving.keys", str(path))
        with served(small_bundle.parents[1], *options) as api:
            address = f"http://127.0.0.1:{api.base_url.port}"
            page = browser.new_page()
            page.goto(listed)
            for body, given, expected in (
                (ROWS, key, [200, "predictions"]),
                ({"rows": []}, key, [422, "detail"]),
                (ROWS, "Bearer no", [401, "detail"]),
            ):
                assert page.evaluate(ASKING, [address, body, given]) == expected
            page.goto(f"http://127.0.0.1:{port}")
            assert page.evaluate(ASKING, [address, ROWS, key]) == [0, "TypeError"]
            page.close()
        site.shutdown()


def test_the_documentation_can_be_closed(client: Callable[..., TestClient]) -> None:
    api = client(docs=False)
    assert api.get("/docs").status_code == api.get("/openapi.json").status_code == 404
    assert api.post("/predict", json=ROWS).status_code == 200


def test_a_client_that_sends_a_byte_a_second_is_left_and_others_are_answered(
    small_bundle: Path, served: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(small_bundle.parents[1], "--serving.request-timeout", "2") as api:
        address = (api.base_url.host, api.base_url.port)
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        begun = {
            "headers": head,
            "body": head + b"Content-Length: 99\r\n\r\n{",
            "nothing": b"",
        }
        slow = {name: socket.create_connection(address) for name in begun}
        for name, sent in begun.items():
            slow[name].sendall(sent)
        limit = time.monotonic() + 20
        for name, connection in slow.items():
            connection.settimeout(max(0.1, limit - time.monotonic()))
            assert api.post("/predict", json=ROWS).status_code == 200
            assert connection.recv(1) == b"", name  # closed by the server
            connection.close()


def test_an_empty_line_after_a_request_keeps_no_connection_open(
    small_bundle: Path, served: Callable[..., Any]
) -> None:
    with served(small_bundle.parents[1], "--serving.request-timeout", "2") as api:
        address = (api.base_url.host, api.base_url.port)
        with socket.create_connection(address, timeout=20) as client:
            client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(65_536).startswith(b"HTTP/1.1 200")
            client.sendall(b"\r\n")
            assert client.recv(1) == b""  # closed by the server


HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
ENDLESS = {
    "an address": (b"GET /", b"a" * 100_000),
    "a name of a header": (HEAD, b"a" * 100_000),
    "a header": (HEAD + b"X-A: ", b"a" * 100_000),
    "headers": (HEAD, b"a:b\r\n" * 20_000),
    "trailers": (CHUNKED + b"0\r\n", b"a:b\r\n" * 20_000),
    "an extension of a chunk": (CHUNKED + b"2;", b"a" * 100_000),
    "empty lines": (b"", b"\r\n" * 50_000),
    "requests": (b"", b"GET /model HTTP/1.1\r\n\r\n" * 4000),
}


def send_often(sender: socket.socket, content: bytes) -> None:
    """Send the same again and again."""
    for _ in range(200):
        sender.sendall(content)


@pytest.mark.parametrize("what", ENDLESS)
def test_what_has_no_end_before_or_after_a_body_is_refused_and_fills_no_memory(
    small_bundle: Path, served: Callable[..., Any], what: str
) -> None:
    begin, more = ENDLESS[what]
    with served(small_bundle.parents[1]) as api:
        assert api.post("/predict", json=ROWS).status_code == 200
        before = resident(api.process.pid)
        with socket.create_connection((api.base_url.host, api.base_url.port), timeout=60) as sender:
            sender.sendall(begin)
            with pytest.raises(ConnectionError):
                send_often(sender, more)
        assert api.post("/predict", json=ROWS).status_code == 200
        assert resident(api.process.pid) - before < 20


def test_headers_as_long_as_other_servers_take_are_accepted(
    small_bundle: Path, served: Callable[..., Any]
) -> None:
    with served(small_bundle.parents[1]) as api:
        headers = {f"X-{number}": "a" * 500 for number in range(90)}
        assert api.post("/predict", json=ROWS, headers=headers).status_code == 200
        many = {f"X-{number}": "a" for number in range(101)}
        assert api.post("/predict", json=ROWS, headers=many).status_code == 400


def test_clients_that_read_nothing_are_left_and_others_are_answered(
    small_bundle: Path, served: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    limits = ("--serving.max-concurrency", "2", "--serving.response-timeout", "1")
    with served(small_bundle.parents[1], *limits) as api:
        body = json.dumps({"rows": ROWS["rows"] * 1000}).encode()
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        slow = [socket.socket() for _ in range(2)]
        for connection in slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((api.base_url.host, api.base_url.port))
            connection.settimeout(1)
            with contextlib.suppress(TimeoutError, ConnectionError):  # the server stops reading
                for _ in range(150):
                    connection.sendall(request)
        codes = []
        end = time.monotonic() + 60
        while codes[-1:] != [200] and time.monotonic() < end:
            codes.append(api.post("/predict", json=ROWS).status_code)
            time.sleep(0.1)
        assert codes[-1] == 200
        for connection in slow:
            connection.close()
    assert "a bug" not in capfd.readouterr().err


def status(connection: socket.socket) -> int:
    """Read an answer to its end."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def test_a_request_in_progress_gets_its_response_after_sigterm(
    small_bundle: Path, served: Callable[..., Any]
) -> None:
    body = json.dumps(ROWS).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    with served(small_bundle.parents[1]) as api:
        address = (api.base_url.host, api.base_url.port)
        with socket.create_connection(address, timeout=20) as connection:
            connection.sendall(request)
            assert status(connection) == 200  # the connection is there
            connection.sendall(request[:-5])
            time.sleep(0.5)
            api.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(address, timeout=20)
            connection.sendall(request[-5:])
            assert status(connection) == 200
            assert connection.recv(1) == b""
        api.process.wait(20)
