"""What the servers do under load, measured in turns."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import processes
from load import Case, Sample, load
from project import say
from running import check_answers, running
from servers import Bench, Server

SEED = 0


@dataclass
class Serving:
    """What was measured of one server.

    Attributes
    ----------
    samples
        One a round, for each case.
    start
        From starting the process to its first right answer, in s, the median.
    peak
        Most memory that its processes held, in MiB.
    """

    samples: dict[Case, list[Sample]]
    start: float = 0.0
    peak: float = 0.0

    def median(self, case: Case, what: str) -> float:
        """Median of one attribute of the samples over the rounds."""
        return float(median(getattr(sample, what) for sample in self.samples[case]))

    def ratios(self, other: Serving, case: Case, what: str = "rate") -> list[float]:
        """One attribute, by default the rate, divided by another server's, round by round."""
        pairs = zip(self.samples[case], other.samples[case], strict=True)
        return [getattr(mine, what) / getattr(others, what) for mine, others in pairs]


def measure_serving(
    bench: Bench, servers: Sequence[Server], rounds: int, seconds: int, starts: int
) -> dict[str, Serving]:
    """Measure the servers, in turns; all stand still but the one that is measured.

    Returns
    -------
    dict
        By the servers' names.
    """
    order = random.Random(SEED)
    cases = list(dict.fromkeys(case for server in servers for case in server.cases))
    measured = {server.name: Serving({case: [] for case in server.cases}) for server in servers}
    durations: dict[str, list[float]] = {server.name: [] for server in servers}
    for turn in range(starts - 1):
        for server in order.sample(servers, len(servers)):
            say(f"start {turn + 1} of {starts}: {server.name}")
            with running(server, bench) as found:
                durations[server.name].append(found.start)

    with ExitStack() as stack:
        up = []
        for server in servers:
            say(f"start {starts} of {starts}: {server.name}")
            found = stack.enter_context(running(server, bench))
            durations[server.name].append(found.start)
            with found.alone():
                check_answers(found, bench.folder)
            up.append(found)
        for turn in range(-1, rounds):  # the first round only warms up
            say(f"serving, round {turn + 1} of {rounds}")
            for case in cases:
                asked = [one for one in up if case in one.server.cases]
                for found in order.sample(asked, len(asked)):
                    with found.alone():
                        sample = load(found, bench.folder, case, seconds)
                    if turn >= 0:
                        measured[found.server.name].samples[case].append(sample)
        for found in up:
            name = found.server.name
            measured[name].peak = processes.peak_mebibytes(processes.tree(found.pid))
            measured[name].start = median(durations[name])
    return measured
