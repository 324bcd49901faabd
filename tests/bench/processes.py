"""What Linux knows about a process and those that it started."""

from __future__ import annotations

import os
import re
import resource
from contextlib import suppress
from pathlib import Path
from signal import Signals

TICK = 1 / os.sysconf("SC_CLK_TCK")  # s


def tree(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [pid]
    for parent in found:  # grows while it is walked
        found += children.get(parent, [])
    return found


def send(pid: int, signal: Signals) -> None:
    """Send a signal to the process and all its descendants."""
    for one in tree(pid):
        with suppress(ProcessLookupError):
            os.kill(one, signal)


def stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third (the state) on; none if the process is gone."""
    try:
        # The second field is the program's name, which may hold blanks and parentheses.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def cpu_seconds(pids: list[int]) -> float:
    """CPU time of the processes and of children of theirs that have ended, in s.

    In user and in kernel mode.
    """
    used = [stat(pid)[11:15] for pid in pids]
    return sum(int(ticks) for four in used for ticks in four) * TICK


def children_seconds() -> float:
    """CPU time of programs that this one ran and that have ended, in s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_mebibytes(pids: list[int]) -> float:
    """Sum of the most memory that each of the processes ever held, in MiB."""
    return sum(memory(pid, "VmHWM") for pid in pids)


def mebibytes(pids: list[int]) -> float:
    """Sum of the memory that the processes hold, in MiB; what is shared counts for each."""
    return sum(memory(pid, "VmRSS") for pid in pids)


def memory(pid: int, what: str) -> float:
    """One of the figures in /proc/PID/status that are in kB, in MiB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has ended
        return 0.0
    found = re.search(rf"{what}:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0
