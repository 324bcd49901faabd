"""What is aimed at, and whether it is met."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median

from api import Api
from figures import table
from judgement import Judgement
from load import Case
from overload import Overload
from report import growth
from scale import KINDS, PREDICT, PREPARE, Scale
from servers import BENTO, EMPTY, LIT, MLFLOW, THIS
from small import TABLES, Small
from streaming import Streaming, memory_ratio
from training import Training
from workers import CASES as HEAVY
from workers import ONE, TWO

ALONE, BUSY, CROWD, MANY = Case(1, 1), Case(1, 16), Case(1, 64), Case(32, 1)
RIVALS = {MLFLOW: 100, BENTO: 12, LIT: 8}  # times their requests a second, at BUSY
EMPTIES = {ALONE: 0.9, BUSY: 1.5, CROWD: 1.7, MANY: 0.8}
NOISE = 1.5  # times; a tail differs by as much from one minute to the next
FOREVER = 1e9


def targets(
    serving: Api | None,
    training: Training | None,
    scale: Scale | None,
    streaming: list[Streaming] | None,
    judgement: Judgement | None,
    small: dict[str, Small] | None,
) -> str:
    """Table of them all."""
    rows: list[list[str]] = []
    if serving:
        rows += [*speed(serving), *cost(serving), *beyond(serving), *overload(serving.overload)]
    if training:
        rows.append(at_least("times the bare training loop", 0.95, [training.ratio]))
        rows.append(at_most("of the time for checkpoints", 0.02, training.checkpoints))
        rows.append(at_most("of the time for snapshots", 0.02, training.snapshots))
    if scale:
        rows += large(scale)
    if streaming:
        ratio = memory_ratio(streaming)
        rows.append(at_most("times the memory, largest table streamed to smallest", 1.2, [ratio]))
    if judgement:
        rows += judged(judgement)
    if small:
        rows += [
            at_most(f"s of CPU time, all model types, {name}", TABLES[name], one.cpu)
            for name, one in small.items()
        ]
    return "\nTargets\n\n" + table(["what", "target", "measured", ""], rows)


def speed(api: Api) -> list[list[str]]:
    """Rows of requests a second, beside others."""
    this, empty = api.servers[THIS.name], api.servers[EMPTY.name]
    rows = [
        at_least(f"times {other.name}, {BUSY}", least, this.ratios(api.servers[other.name], BUSY))
        for other, least in RIVALS.items()
        if other.name in api.servers
    ]
    rows += [
        at_least(f"times the empty endpoint, {case}", least, this.ratios(empty, case))
        for case, least in EMPTIES.items()
    ]
    return [
        *rows,
        at_most(f"times the empty endpoint's p99, {BUSY}", 1, this.ratios(empty, BUSY, "p99")),
    ]


def cost(api: Api) -> list[list[str]]:
    """Rows of what a server needs."""
    this = api.servers[THIS.name]
    cpu = [sample.cpu for sample in this.samples[BUSY]]
    return [
        at_most(f"µs of CPU a request, {BUSY}", 100, cpu),
        at_most("s from start to the first right answer", 0.6, [this.start]),
        at_most("MiB of memory at the peak", 100, [this.peak]),
        at_most("MB of packages to serve, as installed", 190, [api.packages.installed]),
        at_most("MB of packages to serve, as the image keeps them", 190, [api.packages.in_image]),
    ]


def beyond(api: Api) -> list[list[str]]:
    """Rows of more workers, and of many rows at once."""
    one, two = (api.workers[server.name] for server in (ONE, TWO))
    case = HEAVY[-1]
    rows = [at_least(f"times one worker, two on two cores, {case}", 1.7, two.ratios(one, case))]
    for kind, files in api.bulk.items():
        rates = [file.rows / file.cpu for file in files]
        rows.append(at_least(f"rows/s a core, {kind}", 200_000, rates))
    return rows


def overload(found: Overload) -> list[list[str]]:
    """Rows of too many requests."""
    above, below = found.above, found.below
    recovered = FOREVER if above.recovered is None else above.recovered
    about = f"{above.share:g} x capacity"
    return [
        at_most(
            f"times p99 from sending at {below.share:g} x, {about}",
            NOISE,
            [above.sent_p99 / below.sent_p99],
        ),
        at_most(f"requests lost, {about}", 0, [above.seen.get("lost", 0)]),
        at_most(f"MiB of growth, {about}", 5, [above.growth]),
        at_most(f"s until it is as before, {about}", 2, [recovered]),
    ]


def large(scale: Scale) -> list[list[str]]:
    """Rows of large tables."""
    rows = []
    for kind in KINDS:
        largest = scale.sizes[-1]
        for what, name in (("seconds", "time"), ("cpu", "CPU time")):
            ratios = scale.ratios(largest, kind, PREPARE, what)
            rows.append(at_most(f"times the {name} of polars, prepare, {kind}", 2, ratios))
        for who in (PREPARE, PREDICT):
            name = f"{who}, {kind}"
            peak = max(cost.peak for cost in scale.costs[largest, kind, who])
            rows.append(at_most(f"GiB at the peak, {name}", 4, [peak]))
            if grown := growth(scale, kind, who, largest):
                rows.append(at_most(f"growth of the cost of a row, {name}", 1.1, [grown]))
    return rows


def judged(found: Judgement) -> list[list[str]]:
    """Rows of what the project judges."""
    wrong = sum(one.kind != one.found for one in found.kinds)
    missed = sum(one.found < one.planted for one in found.late)
    regret = mean(one.regret for one in found.choices)
    alarms = sum(one.alarms for one in found.late) / sum(one.clean for one in found.late)
    return [
        at_most("wrong kinds of targets", 0, [wrong]),
        at_most("a late column that is not mentioned, tables", 0, [missed]),
        at_most("of the clean columns questioned", 0.05, [alarms]),
        at_most("lost by the choice, mean regret", 0.02, [regret]),
    ]


def at_least(what: str, target: float, found: Sequence[float]) -> list[str]:
    """Row of a target that the median is to reach."""
    value = median(found)
    return [what, f">= {target:,g}", shown(value), "met" if value >= target else "missed"]


def at_most(what: str, target: float, found: Sequence[float]) -> list[str]:
    """Row of a target that the median is not to exceed."""
    value = median(found)
    return [what, f"<= {target:,g}", shown(value), "met" if value <= target else "missed"]


def shown(value: float) -> str:
    """A figure, or that there is none."""
    if value >= FOREVER:
        return "never"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
