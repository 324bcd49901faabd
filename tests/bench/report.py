"""What was measured, as tables."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from statistics import median
from typing import Any

from load import CASES, Case
from project import ROOT, Project
from scale import KINDS, PREDICT, PREPARE, Scale
from serving import DATAFRAMES, EMPTY, MLFLOW, MLFLOW_ONNX, THIS, Serving
from training import Training

OTHERS = [MLFLOW, MLFLOW_ONNX, DATAFRAMES, EMPTY]


def machine(project: Project, facts: dict[str, Any]) -> str:
    """Where this ran, and of what."""
    versions = dict(facts)
    family = versions.pop("family")
    bundle = project.bundle.name if project.bundle else "no bundle"
    lines = [
        f"machine   {os.cpu_count()} cores, {processor()}, Python {platform.python_version()}",
        f"template  commit {commit(ROOT)}",
        f"model     {family} ({bundle})",
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


def serving(measured: dict[str, Serving]) -> str:
    """Tables of the servers: what each does, what it costs, and their ratios."""
    rates = [
        [
            *(str(case), name, number(found.median(case, "rate"))),
            *(number(found.median(case, what)) for what in ("p50", "p99", "cpu")),
        ]
        for case in CASES
        for name, found in measured.items()
    ]
    costs = [[name, f"{found.start:.2f}", f"{found.peak:.0f}"] for name, found in measured.items()]
    this = measured[THIS.name]
    ratios = [
        [str(case), *(spread(this.ratio(measured[other.name], case)) for other in OTHERS)]
        for case in CASES
    ]
    return "\n".join(
        [
            "\nServing, one worker each, medians\n",
            table(["case", "server", "requests/s", "p50 ms", "p99 ms", "CPU µs/request"], rates),
            "\nStart to the first right answer, and peak memory\n",
            table(["server", "start s", "peak MiB"], costs),
            "\nRequests/s of this project divided by others', median (lowest to highest round)\n",
            table(["case", *(f"/ {other.name}" for other in OTHERS)], ratios),
        ]
    )


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
    return f"{title}\n{table(['loop', 'rows/s', '/ bare (lowest to highest round)'], rows)}"


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


def targets(
    serving: dict[str, Serving] | None = None,
    training: Training | None = None,
    scale: Scale | None = None,
) -> str:
    """Table of what is aimed at, and whether it is met."""
    rows = []
    if serving:
        this, mlflow, empty = (serving[server.name] for server in (THIS, MLFLOW, EMPTY))
        alone, busy, crowd, many = Case(1, 1), Case(1, 16), Case(1, 64), Case(32, 1)
        rows.append(at_least(f"times {MLFLOW.name}, {busy}", 100, median(this.ratio(mlflow, busy))))
        rows += [
            at_least(f"times the empty endpoint, {case}", least, median(this.ratio(empty, case)))
            for case, least in ((alone, 0.9), (busy, 1.5), (crowd, 1.7), (many, 0.8))
        ]
        limit = empty.median(busy, "p99")
        rows += [
            at_most(
                f"ms at the 99th percentile, as the empty one, {busy}",
                limit,
                this.median(busy, "p99"),
            ),
            at_most(f"µs of CPU a request, {busy}", 100, this.median(busy, "cpu")),
        ]
    if training:
        rows.append(at_least("times the bare training loop", 0.95, training.ratio))
    if serving:
        rows.append(at_most("s from start to the first right answer", 0.6, this.start))
        rows.append(at_most("MiB of memory at the peak", 100, this.peak))
    for kind in KINDS if scale else ():
        assert scale
        largest = scale.sizes[-1]
        for what, name in (("seconds", "time"), ("cpu", "CPU time")):
            ratio = median(scale.ratios(largest, kind, PREPARE, what))
            rows.append(at_most(f"times the {name} of polars, prepare, {kind}", 2, ratio))
        for who in (PREPARE, PREDICT):
            name = f"{who}, {kind}"
            peak = max(cost.peak for cost in scale.costs[largest, kind, who])
            rows.append(at_most(f"GiB at the peak, {name}", 4, peak))
            if grown := growth(scale, kind, who, largest):
                rows.append(at_most(f"growth of the cost of a row, {name}", 1.1, grown))
    return "\nTargets\n\n" + table(["what", "target", "measured", ""], rows)


def at_least(what: str, target: float, found: float) -> list[str]:
    """Row of a target that is to be reached."""
    return [what, f">= {target:g}", f"{found:.3g}", "met" if found >= target else "missed"]


def at_most(what: str, target: float, found: float) -> list[str]:
    """Row of a target that is not to be exceeded."""
    return [what, f"<= {target:g}", f"{found:.3g}", "met" if found <= target else "missed"]


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(values: list[float]) -> str:
    """Median, lowest and highest."""
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Draw a table as Markdown has it."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)
