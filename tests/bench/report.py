"""What was measured of training and of large tables, and where, as tables."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from statistics import mean, median

from figures import number, spread, table
from judgement import Judgement
from project import ROOT
from scale import Scale
from small import Small
from streaming import Streaming
from training import Training
from weak import Weak


def machine(facts: dict[str, str]) -> str:
    """Where this ran, and of what."""
    versions = dict(facts)
    family, features = versions.pop("family"), versions.pop("features")
    lines = [
        f"machine   {os.cpu_count()} cores, {processor()}, Python {platform.python_version()}",
        f"template  commit {commit(ROOT)}",
        f"model     {family}, {features} features",
        "versions  " + ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    return "\n".join(lines)


def processor() -> str:
    """Model of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def commit(folder: Path) -> str:
    """Commit of a folder under git, and whether files differ from it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    changed = ", with changes" if git("status", "--porcelain") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + changed


def training(measured: Training) -> str:
    """Table of the training loops."""
    ratios = [a / b for a, b in zip(measured.project, measured.bare, strict=True)]
    rows = [
        ["this project", number(median(measured.project)), spread(ratios)],
        ["bare PyTorch", number(median(measured.bare)), "1"],
    ]
    title = (
        f"\nTraining of the network, {measured.rows} rows x {measured.epochs} epochs, "
        f"{measured.threads} threads\n"
    )
    header = ["loop", "rows/s", "/ bare (lowest to highest round)"]
    shares = (
        f"\nOf the time, checkpoints take {spread(measured.checkpoints)}; snapshots, that a rented "
        f"machine takes beside the training, {spread(measured.snapshots)}."
    )
    return "\n".join([title, table(header, rows), shares, scaling(measured.weak)])


def scaling(measured: list[Weak] | str) -> str:
    """Table of one machine and two."""
    if isinstance(measured, str):
        return f"\nTwo machines: not measured, {measured}"
    rows = []
    for weak in measured:
        for ranks, rates in ((1, weak.one), (2, weak.two)):
            row = [f"{weak.parameters:,}", str(ranks), str(ranks * weak.batch)]
            for what in ("clock", "cpu"):
                row.append(number(median(rate[what] for rate in rates)))
                row.append("1" if ranks == 1 else spread(weak.ratios(what)))
            rows.append(row)
    title = (
        "\nWeak scaling: ranks in network namespaces of their own, gloo over a pair of virtual "
        f"interfaces, one thread and {measured[0].rows} rows a rank\n"
    )
    header = ["parameters", "ranks", "batch", "rows/s", "/ one (2 is all)", "rows/CPU s"]
    header += ["/ one (1 is all)"]
    load = f"\n1-minute load {os.getloadavg()[0]:.1f}: two ranks need two idle cores."
    return f"{title}\n{table(header, rows)}\n{load}"


def scale(measured: Scale) -> str:
    """Table of large tables: what each does with them, beside polars, and what a row costs."""
    rows = []
    for size, kind, who in sorted(measured.costs):
        seconds, cpu, peak = (
            measured.median(size, kind, who, what) for what in ("seconds", "cpu", "peak")
        )
        row = [f"{size:,}", kind, who, number(seconds), number(cpu), f"{peak:.2f}"]
        row += [number(size / seconds)]
        row += [spread(measured.ratios(size, kind, who, what)) for what in ("seconds", "cpu")]
        row += [f"{grown:.2f}" if (grown := growth(measured, kind, who, size)) else ""]
        rows.append(row)
    header = ["rows", "file", "who", "s", "CPU s", "GiB", "rows/s", "s / polars"]
    header += ["CPU s / polars", "CPU a row / of the size before"]
    lines = [f"\nLarge tables, medians; 1-minute load {os.getloadavg()[0]:.1f}\n"]
    return "\n".join([*lines, table(header, rows), *measured.skipped])


def growth(measured: Scale, kind: str, who: str, size: int) -> float | None:
    """CPU time of a row divided by that in the table that is next in size, if there is one."""
    smaller = [other for other in measured.sizes if other < size]
    if not smaller:
        return None
    one, other = (measured.median(rows, kind, who, "cpu") / rows for rows in (size, smaller[-1]))
    return one / other


def streaming(measured: list[Streaming]) -> str:
    """Table of what a training needs whose rows are streamed."""
    rows = []
    for one in measured:
        row = [f"{one.table:,}", one.how, f"{one.rows:,}", number(one.rate), number(one.before)]
        rows.append([*row, f"{one.peak:.2f}"])
    header = ["rows", "the network's are", "an epoch", "rows/s", "s before it", "GiB at the peak"]
    return f"\nTraining of the network on large tables, in one process\n\n{table(header, rows)}"


def judgement(measured: Judgement) -> str:
    """Tables of the kinds of targets, of late columns, and of the choice among models."""
    return "\n".join([kinds(measured), late(measured), choices(measured)])


def kinds(measured: Judgement) -> str:
    """Table of the kinds of targets, right and wrong."""
    rows = []
    for kind in dict.fromkeys(one.kind for one in measured.kinds):
        some = [one for one in measured.kinds if one.kind == kind]
        wrong = [one.name for one in some if one.found != kind]
        rows.append([kind, str(len(some) - len(wrong)), str(len(wrong)), ", ".join(wrong)])
    return f"\nKind of target\n\n{table(['it is', 'right', 'wrong', 'which'], rows)}"


def late(measured: Judgement) -> str:
    """Table of late columns, found and missed, and of false alarms."""
    rows = []
    for plant in dict.fromkeys(one.plant for one in measured.late):
        some = [one for one in measured.late if one.plant == plant]
        planted, found, alarms, clean = (
            sum(getattr(one, name) for one in some)
            for name in ("planted", "found", "alarms", "clean")
        )
        counts = [found, planted - found, alarms, clean]
        rows.append([plant, str(len(some)), *map(str, counts)])
    header = ["late columns", "tables", "found", "missed", "false alarms", "of clean columns"]
    return f"\nKnown only after the target\n\n{table(header, rows)}"


def choices(measured: Judgement) -> str:
    """Table of what the choice lost, and of how often it changes."""
    rows = []
    for name in dict.fromkeys(one.table for one in measured.choices):
        some = [one for one in measured.choices if one.table == name]
        right = sum(one.chosen == one.best for one in some)
        lost = mean(one.regret for one in some)
        cpu = mean(one.cpu for one in some)
        rows.append([name, str(len(some)), str(right), f"{lost:.3f}", number(cpu)])
    header = ["table", "draws", "best chosen", "regret", "CPU s"]
    lines = [f"\nThe choice among models\n\n{table(header, rows)}\n"]
    for one in measured.stability:
        lines.append(
            f"Of {one.shuffles} shuffles of one table ({one.table}), {one.changes} choose another "
            "model type than most do."
        )
    return "\n".join(lines)


def small(measured: dict[str, Small]) -> str:
    """Table of what trainings of small tables take."""
    rows = []
    for name, one in measured.items():
        size, columns, target = name.split()
        costs = [number(median(values)) for values in (one.cpu, one.fits, one.start, one.seconds)]
        rows.append([f"{size} x {columns}, {target}", str(one.models), *costs])
    header = ["rows x columns, target", "model types", "CPU s", "of them fits"]
    header += ["CPU s before it", "s of the command"]
    load = f"1-minute load {os.getloadavg()[0]:.1f}"
    return f"\nTraining of small tables, medians; {load}\n\n{table(header, rows)}"
