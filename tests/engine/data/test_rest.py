"""A REST API on loopback that pages, fails now and then, and grows; collected from a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from coldstart.data.sources._import_log import load_entries
from coldstart.data.sources._importing import import_source
from coldstart.errors import UserError
from engine.support import PACKAGE

PAGE = 10


class Service(ThreadingHTTPServer):
    """Records in pages of ten, in the order of `day`; three records share each day."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.rows: list[dict[str, Any]] = []
        self.grow(95)
        self.calls: list[dict[str, str]] = []
        self.times: list[float] = []
        self.fails = True
        self.down_from: int | None = None
        self.newest_first = False
        self.delay = 0.0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def grow(self, count: int) -> None:
        """Add records, the first of them of a day that has some already."""
        start = len(self.rows)
        place = {"city": "Zürich"}
        self.rows += [{"id": i, "day": i // 3, "place": place} for i in range(start, start + count)]


class Answer(BaseHTTPRequestHandler):
    """Answers `/records?page=1&since=0`; every fifth call is refused, for now."""

    server: Service

    def do_GET(self) -> None:
        service, url = self.server, urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        service.calls.append(asked)
        service.times.append(time.monotonic())
        time.sleep(service.delay)
        number = len(service.calls)
        if service.fails and number % 5 == 0:
            return self.send(503 if number % 10 else 429, b"not now")
        if url.path != "/records" or (service.down_from and number >= service.down_from):
            return self.send(404, b"nothing here")
        rows = [row for row in service.rows if row["day"] >= int(asked.get("since", 0))]
        rows = rows[::-1] if service.newest_first else rows
        first = (int(asked.get("page", 1)) - 1) * PAGE
        self.send(200, json.dumps({"data": rows[first : first + PAGE]}).encode())

    def send(self, status: int, body: bytes) -> None:
        """Send an answer."""
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.chdir(tmp_path)
    with Service() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def description(service: Service, **more: Any) -> str:
    """Write the YAML file that a person would."""
    paginator: Any = {"type": "page_number", "base_page": 1, "total_path": None}
    api: dict[str, Any] = {"base_url": service.address, "path": "records", "records": "data"}
    api |= {"key": ["id"], "paginator": paginator, "cursor": "day", "since": "since"}
    api |= {"order": "ascending", "requests_per_second": 1000}
    Path("api.yaml").write_text(yaml.safe_dump(api | more))
    return "api.yaml"


def collected(table: Path) -> list[int]:
    """The records' numbers in all files of an arrival, as they lie there."""
    files = [table] if table.is_file() else sorted(table.iterdir())
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    return [json.loads(line)["id"] for line in lines]


def test_all_pages_arrive_although_every_fifth_call_is_refused(service: Service) -> None:
    table = import_source(description(service))
    assert collected(table) == list(range(95))
    assert len(service.calls) > 10  # some were made twice
    first = json.loads(table.read_text("utf-8").splitlines()[0])
    assert first == {"id": 0, "day": 0, "place": {"city": "Zürich"}}  # as it came
    refused = service.times[9]  # the tenth call, by 429 with Retry-After: 1
    assert service.times[10] - refused >= 1


def test_a_second_run_asks_for_what_is_new_alone(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    source = description(service)
    import_source(source)
    service.fails, calls = False, len(service.calls)
    service.grow(20)
    table = import_source(source)
    assert sorted(collected(table)) == list(range(115))
    assert {call["since"] for call in service.calls[calls:]} == {"31"}
    assert len(service.calls) - calls == 4  # 22 records from day 31 on, and an empty page
    new = sorted(table.iterdir())[-1]
    assert len(new.read_text("utf-8").splitlines()) == 20

    capsys.readouterr()
    assert import_source(source) == table
    assert "nothing new" in capsys.readouterr().out
    assert len(load_entries()) == 2


def test_killed_midway_it_goes_on_and_nothing_is_lost_or_there_twice(
    service: Service, tmp_path: Path
) -> None:
    service.rows = []
    service.grow(200)
    service.delay = 0.05
    home = tmp_path / "home"
    home.mkdir()
    Path("config.yaml").write_text("data: {table: none.csv}\n")
    source = description(service)
    package = PACKAGE
    command = [sys.executable, "-m", package, "collect", "--source", source]
    env = os.environ | {"HOME": str(home)}
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE)
    while len(service.calls) < 12 and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[1]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not Path("data/arrivals.jsonl").exists()  # no half arrival
    service.grow(14)
    calls = len(service.calls)
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "resuming after" in done.stdout
    (entry,) = load_entries()
    assert collected(entry.table) == list(range(214))
    assert int(service.calls[calls]["since"]) > 20  # not from the beginning

    # dlt wrote nothing beside it, not in the home directory either, and said nothing.
    assert not list(home.iterdir())
    expected = {".lock", "api.yaml", "config.yaml", "data", "home"}
    assert {path.name for path in tmp_path.iterdir()} == expected
    assert "dlt" not in done.stdout + done.stderr


def test_a_line_that_was_half_written_is_asked_for_again(service: Service) -> None:
    service.fails, service.down_from = False, 5
    source = description(service)
    with pytest.raises(UserError, match="returned 404"):
        import_source(source)
    (part,) = Path("data/raw/.incoming").glob("*.part")
    part.write_bytes(part.read_bytes()[:-9])
    service.down_from = len(service.calls) + 3
    with pytest.raises(UserError, match="returned 404"):
        import_source(source)
    service.down_from = None
    assert collected(import_source(source)) == list(range(95))


def test_records_in_no_order_are_not_lost_after_a_break(service: Service) -> None:
    service.rows = service.rows[60:] + service.rows[:60]
    service.fails, service.down_from = False, 4
    source = description(service, order=None)
    with pytest.raises(UserError, match="returned 404"):
        import_source(source)
    service.down_from = None
    assert sorted(collected(import_source(source))) == list(range(95))


def test_without_a_parameter_for_it_what_is_known_is_left_out(service: Service) -> None:
    service.fails = False
    source = description(service, since=None, key=[])
    import_source(source)
    service.grow(9)
    assert sorted(collected(import_source(source))) == list(range(104))


def test_newest_first_is_read_until_a_known_record_comes(service: Service) -> None:
    service.newest_first, service.fails = True, False
    source = description(service, since=None, order="descending")
    import_source(source)
    service.grow(12)
    calls = len(service.calls)
    assert sorted(collected(import_source(source))) == list(range(107))
    assert len(service.calls) - calls == 2


def test_without_a_cursor_each_run_is_a_snapshot_of_all(service: Service) -> None:
    service.fails = False
    source = description(service, cursor=None, since=None)
    import_source(source)
    service.rows = service.rows[:-10]
    assert collected(import_source(source)) == list(range(85))


def test_a_changed_description_starts_from_the_beginning(service: Service) -> None:
    service.fails = False
    import_source(description(service))
    table = import_source(description(service, params={"kind": "all"}))
    assert sorted(collected(table)) == list(range(95))


def test_the_rate_that_was_asked_for_is_kept(service: Service) -> None:
    service.fails = False
    import_source(description(service, requests_per_second=20))
    assert len(service.times) == 11
    assert service.times[-1] - service.times[0] > 0.4  # 10 times 0.05, on a busy machine


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"path": "elsewhere"}, "/elsewhere?page=1 returned 404"),
        ({"cursor": "month"}, "no 'month' (cursor); it has: id, day, place"),
        ({"key": ["uuid"]}, "no 'uuid' (key); it has: id, day, place"),
        ({"base_url": "http://127.0.0.1:1"}, "cannot be reached"),
        ({"sinse": "x"}, "there is no such setting; is it since?"),
        ({"auth": "sesame-9"}, "auth should be"),
        ({"auth": {"type": "bearer", "tokn": "sesame-9"}}, "auth"),
        ({"requests_per_second": "${API_TOKEN}"}, "requests_per_second"),
        ({"paginator": {"type": "steps"}}, "paginator"),
        ({"headers": {"Authorization": "${NOT_SET}"}}, "NOT_SET is not set"),
    ],
)
def test_what_is_wrong_is_one_clear_line(
    service: Service, change: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coldstart.data.sources._rest.ATTEMPTS", 2)
    monkeypatch.setenv("API_TOKEN", "sesame-9")
    service.fails = False
    with pytest.raises(UserError) as refused:
        import_source(description(service, **change))
    assert told in str(refused.value)
    assert str(refused.value).startswith("api.yaml") or "a record has no" in str(refused.value)
    assert len(str(refused.value)) < 400
    assert "sesame-9" not in str(refused.value)


def test_without_dlt_the_error_names_the_command_to_run(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = description(service)
    for name in [name for name in sys.modules if name.split(".")[0] == "dlt"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dlt", None)
    with pytest.raises(UserError, match=r"pip install .*\[train,api\]"):
        import_source(source)


def test_a_token_reaches_the_api_and_no_file(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "sesame-9")
    service.fails = False
    auth = {"type": "api_key", "name": "token", "api_key": "${API_TOKEN}", "location": "query"}
    import_source(description(service, auth=auth))
    assert {call["token"] for call in service.calls} == {"sesame-9"}
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert files
    assert not any(b"sesame" in path.read_bytes() for path in files)
