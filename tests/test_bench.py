"""The benchmark works; what it measures is for people to read, and no test."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, BakedProject, clean_environment

BENCH = [sys.executable, str(ROOT / "tests" / "bench" / "bench.py")]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is missing: apt-get install wrk")
def test_the_benchmark_measures_every_server_both_loops_and_large_tables(
    trained: BakedProject,
) -> None:
    done = subprocess.run(
        [*BENCH, "--quick", "--project", str(trained.path)],
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    targets = done.stdout.partition("Targets")[2]
    assert targets.count(" met ") + targets.count(" missed ") == 10 + 12
    for server in ("this project", "mlflow serve, pipeline", "mlflow serve, our graph"):
        assert f"| {server}" in done.stdout
    assert "bare PyTorch" in done.stdout
    for who in ("prepare", "predict", "polars", "pandas"):
        for kind in ("csv", "parquet"):
            assert re.search(rf"\| 20,000 +\| {kind} +\| {who} ", done.stdout)


def test_without_wrk_it_says_what_to_install() -> None:
    done = subprocess.run(BENCH, env={"PATH": ""}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: wrk, which loads the servers, is missing: apt-get install wrk\n"
