"""The benchmark works; what it measures is for people to read, and no test."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, GeneratedProject, clean_environment, needs

PROGRAMS = ROOT / "tests" / "bench" / "programs"
BENCH = [sys.executable, str(ROOT / "tests" / "bench" / "bench.py")]


NEEDS_WRK = needs(shutil.which("wrk"), "wrk is missing: apt install wrk")


def run_bench(project: GeneratedProject, *options: str) -> str:
    """Run the benchmark with as little of everything as there can be, and return its tables."""
    command = [*BENCH, "--quick", "--project", str(project.path), *options]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_verdicts(printed: str) -> None:
    """Check that each target is called met or missed as its own figures say."""
    lines = re.findall(
        r"\| ([<>])= ([\d.,]+) +\| ([\d.,e+-]+|never) +\| (\w+) +\|",
        printed.partition("Targets")[2],
    )
    assert lines
    for sign, target, measured, verdict in lines:
        aim = float(target.replace(",", ""))
        value = float("inf") if measured == "never" else float(measured.replace(",", ""))
        if value != aim:  # which rounding may have made of either
            assert verdict == ("met" if (value > aim) is (sign == ">") else "missed")


def assert_serving(printed: str) -> None:
    """Check the tables of the API beside an empty endpoint."""
    assert re.search(
        r"requests lost, 4 x capacity +\| <= 0 +\| 0 ", printed.partition("Targets")[2]
    )
    assert "boosting, 13 features" in printed
    assert re.search(r"\| 1 row, concurrency 16 +\| this project ", printed)
    for workers in ("this project, 2 workers", "FastAPI, empty, 2 workers"):
        assert re.search(rf"\| 32 rows, concurrency 64 +\| {workers} ", printed)


def assert_tables(printed: str) -> None:
    """Check the tables of large files."""
    for who in ("prepare", "predict", "polars", "pandas"):
        for kind in ("csv", "parquet"):
            assert re.search(rf"\| 20,000 +\| {kind} +\| {who} ", printed)


@pytest.mark.slow
@pytest.mark.weekly
def test_the_benchmark_measures_large_tables(trained: GeneratedProject) -> None:
    printed = run_bench(trained, "--parts", "scale")
    assert_tables(printed)
    assert_verdicts(printed)


def assert_judgement(printed: str) -> None:
    """Check the tables of what is judged: each line says what the lines below it rest on."""
    (classes,) = re.findall(r"\| classes +\| (\d+) +\| (\d+) ", printed)
    assert sum(map(int, classes)) == 12
    plants = "payment", "closing", "filled", "parts", "proxy"
    found = re.findall(rf"\| ({'|'.join(plants)}) +\| 1 +\| (\d) +\| (\d) +\| (\d) ", printed)
    assert [plant for plant, *_ in found] == list(plants)
    assert [int(hits) + int(missed) for _, hits, missed, _ in found] == [1, 1, 1, 3, 1]
    missing = sum(missed != "0" for _, _, missed, _ in found)
    assert re.search(
        rf"a late column that is not mentioned, tables +\| <= 0 +\| {missing} ", printed
    )
    chosen = printed.partition("The choice among models")[2]
    line = r"\| ([a-z ,]+?) +\| 1 +\| ([01]) +\| ([\d.]+) +\| [\d.]+ +\|"
    regrets = re.findall(line, chosen)
    names = ["iris", "nothing changes, a number", "nothing changes, classes"]
    assert [name for name, *_ in regrets] == names
    for _, best, regret in regrets:
        assert best == "0" or float(regret) == 0
    assert (
        len(re.findall(r"Of 4 shuffles of one table \((classes|a number)\), [0-3] ", printed)) == 2
    )


@pytest.mark.slow
@pytest.mark.weekly
def test_the_benchmark_judges_tables_with_known_answers(trained: GeneratedProject) -> None:
    printed = run_bench(trained, "--parts", "judgement")
    assert_judgement(printed)
    assert_verdicts(printed)


@pytest.mark.slow
@pytest.mark.weekly
def test_the_benchmark_measures_small_tables(trained: GeneratedProject) -> None:
    printed = run_bench(trained, "--parts", "small")
    assert re.search(r"\| 64 x 3, number +\| 4 ", printed)
    assert re.search(r"\| 900 x 40, classes +\| 5 ", printed)
    assert_verdicts(printed)


@pytest.mark.slow
@pytest.mark.weekly
@NEEDS_WRK
def test_the_benchmark_measures_every_server_both_loops_large_tables_and_judgement(
    trained: GeneratedProject, tmp_path: Path
) -> None:
    page = tmp_path / "scale.md"
    printed = run_bench(trained, "--write", str(page))
    assert "**The core of a worker** (measured)" in page.read_text()
    assert_serving(printed)
    assert_tables(printed)
    assert_judgement(printed)
    assert_verdicts(printed)
    targets = printed.partition("Targets")[2]
    assert targets.count(" met ") + targets.count(" missed ") == 20 + 3 + 12 + 1 + 4 + 7
    for server in (
        *("mlflow serve, pipeline", "mlflow serve, our graph"),
        *("BentoML, our graph", "BentoML, batching", "LitServe, our graph", "LitServe, batching"),
    ):
        assert re.search(rf"\| 1 row, concurrency 16 +\| {server} ", printed)
    assert "bare PyTorch" in printed
    assert "Weak scaling" in printed or "Two machines: not measured" in printed
    assert re.search(r"\| 40,000 +\| streamed +\| 3\d,\d{3} ", printed)


@pytest.mark.parametrize(
    ("kind", "target", "measured", "shown", "verdict"),
    [
        ("at_least", 0.9, [0.7, 0.95, 0.89], "0.89", "missed"),
        ("at_least", 0.9, [0.7, 0.95, 0.91], "0.91", "met"),
        ("at_most", 100, [99, 107, 110], "107", "missed"),
        ("at_most", 100, [99, 100, 110], "100", "met"),
        ("at_most", 2, [1e9], "never", "missed"),
    ],
)
def test_a_target_is_met_by_the_median_or_called_missed(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    target: float,
    measured: list[float],
    shown: str,
    verdict: str,
) -> None:
    monkeypatch.syspath_prepend(PROGRAMS.parent)
    row = getattr(importlib.import_module("targets"), kind)("a figure", target, measured)
    assert row[2:] == [shown, verdict]


def test_what_is_judged_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROGRAMS.parent)
    judgement, report, targets = map(importlib.import_module, ("judgement", "report", "targets"))
    measured = judgement.Judgement(
        [judgement.Kind("status", "classes", "classes"), judgement.Kind("grade", "classes", "x")],
        [judgement.Late("parts", 3, 2, 1, 5), judgement.Late("parts", 3, 3, 0, 5)],
        [
            judgement.Choice("iris", "tree", "svm", 0.06, 9),
            judgement.Choice("iris", "a", "a", 0, 3),
        ],
        [judgement.Stability("classes", 2, 12)],
    )
    printed = report.judgement(measured)
    assert "| classes | 1     | 1     | grade |" in printed
    assert "| parts        | 2      | 5     | 1      | 1            | 10               |" in printed
    assert "| iris  | 2     | 1           | 0.030  | 6     |" in printed
    assert "Of 12 shuffles of one table (classes), 2 choose another model type" in printed
    found = {row[0]: row[2:] for row in targets.judged(measured)}
    assert found == {
        "wrong kinds of targets": ["1", "missed"],
        "a late column that is not mentioned, tables": ["1", "missed"],
        "of the clean columns questioned": ["0.1", "missed"],
        "lost by the choice, mean regret": ["0.03", "missed"],
    }


def test_without_wrk_it_says_what_to_install() -> None:
    done = subprocess.run(BENCH, env={"PATH": ""}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: wrk, which loads the servers, is missing: apt-get install wrk\n"


@pytest.fixture
def careless(tmp_path: Path) -> Iterator[int]:
    """Port of a server that does what a request's body says, not always what it should."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                said = json.loads(await reader.readexactly(length))["say"]
                for line in said:
                    writer.write(line.encode() + b"\r\n")
                writer.write(b'\r\n{"label":1}')
                if "content-length: 100" in said:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0, backlog=2000))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server.sockets[0].getsockname()[1]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_of_requests_at_a_fixed_rate_each_one_s_fate_is_counted(
    careless: int, tmp_path: Path
) -> None:
    whole = "content-length: 11"
    bodies = [
        {"rows": [1], "say": ["HTTP/1.1 200 OK", whole]},
        {"rows": [1], "say": ["HTTP/1.1 503 Busy", "Retry-After: 1", whole]},
        {"rows": [1], "say": ["HTTP/1.1 503 Busy", whole]},
        {"rows": [1, 2], "say": ["HTTP/1.1 200 OK", whole]},
        {"rows": [1], "say": ["HTTP/1.1 200 OK", "content-length: 100"]},
    ]
    path = tmp_path / "bodies.jsonl"
    path.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "flood.py"), str(careless), str(path), "100", "1"],
        env=os.environ | {"BENCH_KEY": "k"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seen"] == {"answered": 20, "refused": 20, "lost": 60}
