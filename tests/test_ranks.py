"""A machine that vanishes from a training on two, and one whose tracking store is slow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, GeneratedProject, clean_environment, needs

sys.path.append(str(ROOT / "tests" / "bench"))
from weak import ADDRESSES, PORT, machines

# `train`, where a rank is lost after 10 s instead of a minute, and the store first takes longer.
PROGRAM = """
import datetime, sys, time
from PACKAGE.__main__ import PROJECT
from coldstart.cli import main
from coldstart.nn import _ranks as ranks
from coldstart.tracking import _mlflow as tracking

report, calls = tracking.EpochLog.__call__, []

def slow(self, *arguments):
    if not calls:
        time.sleep(15)
    calls.append(arguments)
    report(self, *arguments)

tracking.EpochLog.__call__ = slow
ranks.LOST, ranks.BEAT = datetime.timedelta(seconds=10), 2
sys.exit(main(PROJECT, ["train", "--models", "neural"]))
"""


@pytest.mark.slow
@pytest.mark.weekly
@needs(os.geteuid() == 0 and shutil.which("ip"), "namespaces need root and iproute2")
def test_a_slow_store_is_waited_for_and_a_machine_that_vanishes_is_not(
    installed: GeneratedProject, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("PACKAGE", installed.package))
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        for name in ("config.yaml", "schema.yaml"):
            shutil.copy(installed.path / name, folder)
        shutil.copytree(installed.path / "data" / "raw", folder / "data" / "raw")
    environment = {"GLOO_SOCKET_IFNAME": "veth", "OMP_NUM_THREADS": "1"}
    with machines() as names:
        agents = [
            subprocess.Popen(
                [
                    *("ip", "netns", "exec", name, installed.python, "-m"),
                    *("torch.distributed.run", "--nnodes", "2", "--node-rank", str(number)),
                    *("--nproc-per-node", "1", "--master-addr", ADDRESSES[0]),
                    *("--master-port", PORT, program),
                ],
                cwd=folder,
                env=clean_environment() | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for number, (name, folder) in enumerate(zip(names, folders, strict=True))
        ]
        try:
            end = time.monotonic() + 900
            # Before it stands the first report, which takes longer than a lost rank is given.
            while not list(folders[0].glob("checkpoints/*/*-fit.ckpt")):
                assert time.monotonic() < end
                assert agents[0].poll() is None, agents[0].communicate()[0]
                time.sleep(0.01)
            # Nothing is closed: to each, the other is only silent.
            subprocess.run(["ip", "-n", names[1], "link", "set", "veth", "down"], check=True)
            began = time.monotonic()
            told = [agent.communicate(timeout=30)[0] for agent in agents]
            assert time.monotonic() - began < 25
        finally:
            for agent in agents:
                agent.kill()
    for number, said in enumerate(told):
        assert f"rank {number} ends, since it lost another: Timed out waiting 10000ms" in said
