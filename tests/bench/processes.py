"""What Linux knows about a process and those that it started."""

from __future__ import annotations

import os
import re
from pathlib import Path

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


def stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third (the state) on; none if the process is gone."""
    try:
        # The second field is the program's name, which may hold blanks and parentheses.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def cpu_seconds(pids: list[int]) -> float:
    """CPU time that the processes have used, in user and in kernel mode, in s."""
    used = [stat(pid)[11:13] for pid in pids]
    return sum(int(ticks) for pair in used for ticks in pair) * TICK


def peak_mebibytes(pids: list[int]) -> float:
    """Sum of the most memory that each of the processes ever held, in MiB."""
    peaks = [
        re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()) for pid in pids
    ]
    return sum(int(peak[1]) for peak in peaks if peak) / 1024
