"""What was measured of the API, as tables."""

from __future__ import annotations

import os
from statistics import median

from api import BULK, Api
from figures import number, spread, table
from load import CASES
from overload import CASE, Flooded, Overload
from servers import THIS
from workers import CASES as HEAVY
from workers import PAIRS, full


def serving(api: Api) -> str:
    """Tables of the servers, of two workers, of files, packages and overload."""
    return "\n".join([servers(api), workers(api), bulk(api), packages(api), overload(api.overload)])


def servers(api: Api) -> str:
    """Tables of the servers: what each does, what it costs, and their ratios."""
    measured = api.servers
    rates = [
        [
            *(str(case), name, number(found.median(case, "rate"))),
            *(number(found.median(case, what)) for what in ("p50", "p99", "cpu")),
        ]
        for case in CASES
        for name, found in measured.items()
        if case in found.samples
    ]
    costs = [[name, f"{found.start:.2f}", f"{found.peak:.0f}"] for name, found in measured.items()]
    this = measured[THIS.name]
    ratios = [
        [
            *(str(case), name, spread(this.ratios(found, case))),
            spread([1 / ratio for ratio in this.ratios(found, case, "cpu")]),
        ]
        for case in CASES
        for name, found in measured.items()
        if name != THIS.name and case in found.samples
    ]
    columns = ["case", "other", "requests/s / the other's", "the other's CPU a request / ours"]
    return "\n".join(
        [
            "\nServing, one worker each, medians\n",
            table(["case", "server", "requests/s", "p50 ms", "p99 ms", "CPU µs/request"], rates),
            "\nStart to the first right answer, and peak memory\n",
            table(["server", "start s", "peak MiB"], costs),
            "\nThis project and others, median of the rounds' ratios (lowest to highest)\n",
            table(columns, ratios),
        ]
    )


def workers(api: Api) -> str:
    """Table of one worker and two."""
    cores = os.cpu_count() or 1
    rows = []
    for case in HEAVY:
        for pair in PAIRS:
            one, two = (api.workers[server.name] for server in pair)
            for server, found in zip(pair, (one, two), strict=True):
                most = full(found, case, cores) / one.median(case, "rate")
                row = [str(case), server.name, number(found.median(case, "rate"))]
                row += [number(found.median(case, what)) for what in ("cpu", "client")]
                rows.append([*row, spread(found.ratios(one, case)), f"{most:.2f}"])
    header = ["case", "server", "requests/s", "CPU µs/request", "of wrk", "/ 1 worker"]
    return "\n".join(
        [
            f"\nTwo workers, with wrk on the same {cores} cores\n",
            table([*header, "at most, with no core idle"], rows),
        ]
    )


def bulk(api: Api) -> str:
    """Table of files."""
    rows = []
    for kind, files in api.bulk.items():
        count = files[0].rows
        row = [kind, f"{count:,}", number(median(file.seconds for file in files))]
        row += [number(median(file.cpu for file in files))]
        row += [spread([count / file.cpu for file in files])]
        rows.append([*row, number(median(count / file.seconds for file in files))])
    header = ["file", "rows", "s", "CPU s", "rows/s a core (lowest to highest)", "rows/s"]
    return f"\nFiles of rows, {BULK} model; CPU time is of all processes\n\n{table(header, rows)}"


def packages(api: Api) -> str:
    """Sizes of what serving needs."""
    found = api.packages
    return (
        f"\nPackages that serving needs: {found.installed:.0f} MB as installed, "
        f"{found.in_image:.0f} MB as the image keeps them"
    )


def overload(found: Overload) -> str:
    """Table of requests at a fixed rate."""
    rows = [flooded(found.capacity, one) for one in (found.below, found.above)]
    header = ["asked for", "for s", "requests/s", "answered/s", "refused/s", "lost", "unsent"]
    header += [
        "p99 ms",
        "p99 from sending",
        "of refusals",
        "recovered s",
        "MiB at start",
        "end",
        "asking CPU",
    ]
    title = f"\nOverload: {CASE.rows} rows a request, {number(found.capacity)} requests/s answered "
    title += f"at concurrency {CASE.concurrency}; slow and silent clients beside them\n"
    return f"{title}\n{table(header, rows)}"


def flooded(capacity: float, found: Flooded) -> list[str]:
    """Row of that table."""
    seen = found.seen
    return [
        *(f"{found.share:g} x", str(found.seconds), number(capacity * found.share)),
        *(number(found.rate(fate)) for fate in ("answered", "refused")),
        *(str(seen.get(fate, 0)) for fate in ("lost", "unsent")),
        *map(number, (found.p99, found.sent_p99, found.refused_p99)),
        "-" if found.recovered is None else f"{found.recovered:.2f}",
        *(f"{found.memory[0]:.0f}", f"{found.memory[-1]:.0f}", f"{found.asking:.0%}"),
    ]
