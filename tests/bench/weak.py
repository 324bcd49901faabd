"""Weak scaling: two machines with twice the rows and twice the batch, beside one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project import PROGRAMS, Project, UserError, say

ADDRESSES = ("198.18.7.1", "198.18.7.2")  # of the range that is set apart for benchmarks
PORT = "29519"
LONGEST = 600  # s


@dataclass(frozen=True)
class Weak:
    """What was measured of a network: rows a second ("clock", "cpu"), one value a round.

    Attributes
    ----------
    rows, batch
        Of each rank.
    parameters
        Of the network.
    one, two
        Rates of one rank, and of two.
    """

    rows: int
    batch: int
    parameters: int
    one: list[dict[str, float]]
    two: list[dict[str, float]]

    def ratios(self, what: str) -> list[float]:
        """Two ranks' rate divided by one's."""
        return [two[what] / one[what] for one, two in zip(self.one, self.two, strict=True)]


def measure_weak(project: Project, folder: Path, rounds: int, epochs: int) -> list[Weak] | str:
    """Train on one machine and on two, in turns; say why not where they cannot be made."""
    if os.geteuid() or not shutil.which("ip"):
        return "network namespaces need root and iproute2"
    say(f"weak scaling, {rounds} rounds")
    try:
        with machines() as names:
            turns = [train(project, folder, names[:n], epochs) for n in (1, 2) * rounds]
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made here: {error.stderr.strip()}"
    measured = []
    for found in zip(*turns, strict=True):  # of each network
        rates = [one.pop("rates") for one in found]
        measured.append(Weak(one=rates[::2], two=rates[1::2], **found[0]))
    return measured


@contextmanager
def machines() -> Iterator[list[str]]:
    """Two network namespaces, joined by a pair of virtual interfaces."""

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

    names = [f"weak{os.getpid()}{letter}" for letter in "ab"]
    with ExitStack() as stack:
        for name in names:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "delete", name)
        first, second = ("netns", names[0]), ("netns", names[1])
        ip("link", "add", "veth", *first, "type", "veth", "peer", "name", "veth", *second)
        for name, address in zip(names, ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "veth")
            ip("-n", name, "link", "set", "veth", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names


def train(project: Project, folder: Path, names: list[str], epochs: int) -> Any:
    """Train once, with a rank in each namespace.

    Raises
    ------
    UserError
        If it fails.
    """
    program = [str(PROGRAMS / "ranks.py"), project.package, str(folder), str(epochs)]
    environment = project.environment | {
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "veth",
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # the addresses have no names
    }
    agents = [
        subprocess.Popen(
            [
                *("ip", "netns", "exec", name, project.python, "-m", "torch.distributed.run"),
                *("--nnodes", str(len(names)), "--node-rank", str(number)),
                *("--nproc-per-node", "1", "--master-addr", ADDRESSES[0], "--master-port", PORT),
                *program,
            ],
            cwd=project.folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, name in enumerate(names)
    ]
    try:
        told = [agent.communicate(timeout=LONGEST)[0] for agent in agents]
    finally:
        for agent in agents:
            agent.kill()
    if any(agent.returncode for agent in agents):
        raise UserError("the training on several machines failed: see above")
    return json.loads(told[0].splitlines()[-1])
