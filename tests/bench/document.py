"""docs/reference/scale.md: what more requests need, derived from measurements of the API."""

from __future__ import annotations

import datetime as dt
import math
import os
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from api import BULK, FAMILY, Api
from figures import number, table
from load import Case
from overload import CASE
from project import ROOT
from report import commit, processor
from servers import THIS
from workers import CASES as HEAVY
from workers import ONE, TWO, full

WANTED = 100_000  # requests a second
BUSY = 0.6  # share of a core that is used at most: queues grow fast above it, and a host may fail
ONE_ROW, MANY = Case(1, 16), Case(32, 16)
SOURCE = (
    "on demand in us-east-1, as the catalogue of SkyPilot held them (`catalogs/v7/aws/vms.csv`, "
    "commit 001367d), looked up on 25 November 2026"
)


@dataclass(frozen=True)
class Instance:
    """A virtual machine to rent: a virtual core of these is a core, and no half of one."""

    name: str
    processor: str
    cores: int
    dollars: float  # an hour


INSTANCES = [
    Instance("c7a.large", "AMD EPYC, 4th generation", 2, 0.10264),
    Instance("c7g.large", "Graviton3", 2, 0.0725),
    Instance("c8g.large", "Graviton4", 2, 0.07976),
]


# Computed, but for what a core does in a second: `make bench BENCH="--parts training"` prints that.
TRAINING = """## What more machines would do for a training

Computed, not measured, except where it says so; NCCL and GPUs have not been run. Ranks that share
a batch send each other the gradients after each step: 2(N - 1)/N x 4 bytes a parameter and rank.
For a network of 1.15 million parameters on two ranks that is 4.6 MB: 3.7 ms at 10 Gbit/s, and 0.4
at 100.

| a step of 512 rows of that network takes | time | so two ranks are, at 10 Gbit/s | at 100 Gbit/s |
|---|---|---|---|
| on one CPU core, at 7,260 rows a second (measured) | 70 ms | 95 % efficient | 99 % |
| on a GPU of 10 TFLOP/s (6 FLOP a parameter and row) | 0.35 ms | 9 % | 49 % |

So a GPU wants batches tens of times larger, or to be the only one; and a network as small as the
demo's, with 55 kB of gradients, gains nothing from a second machine. What was measured with gloo
between two network namespaces, in rows for each second of CPU time of two ranks against one: 0.72
for the demo's network, 0.89 for that of 1.15 million parameters.

Rows need not be in memory: with `neural.stream` each rank reads row groups of its own from
Parquet, in files or in an object store. Measured with what `make bench BENCH="--parts streaming"`
runs, on two cores that were busy with other work (a load of 13 to 18), one rank: on 2 million rows
the process that prepares and trains held 1.00 GiB at its peak, and on 20 million rows 1.06. It
learned from 44,000 to 48,000 rows a second of the smaller table and 73,000 of the larger one, and
from 95,000 in memory. Rows are read and encoded while those before them are learned from.
"""


def write_document(path: Path, api: Api) -> None:
    """Write the page."""
    sections = [head(api), core(api), money(api), many(api), breaks(api), TRAINING]
    path.parent.mkdir(exist_ok=True)
    path.write_text(wrapped("\n".join(sections)), encoding="utf-8")


def wrapped(text: str) -> str:
    """Break the lines of paragraphs and of numbered lists anew; not those of tables and titles."""
    blocks = []
    for block in text.strip().split("\n\n"):
        if block[0] in "#|":
            blocks.append(block)
            continue
        items = re.split(r"\n(?=\d\. )", block)
        blocks.append("\n".join(map(filled, items)))
    return "\n\n".join(blocks) + "\n"


def filled(paragraph: str) -> str:
    """Break a paragraph's lines; what follows a number is set in."""
    return textwrap.fill(
        " ".join(paragraph.split()),
        100,
        subsequent_indent="   " if re.match(r"\d\. ", paragraph) else "",
        break_long_words=False,
        break_on_hyphens=False,
    )


def a_core(api: Api, case: Case = ONE_ROW) -> float:
    """Requests a second that fill a core."""
    return 1e6 / api.servers[THIS.name].median(case, "cpu")


def head(api: Api) -> str:
    """What this is and where its figures come from."""
    return f"""# What more requests need

`make scale` wrote this page on {dt.datetime.now(dt.UTC):%d %B %Y} from commit {commit(ROOT)}, on
{os.cpu_count()} cores of a shared machine ({processor()}), which the load generator used as well.
The model is the demo's, {FAMILY}, served with validation, access keys, metrics and documentation
on. Other models and machines give other figures: run it on yours.
"""


def core(api: Api) -> str:
    """What one core does."""
    this = api.servers[THIS.name]
    rows = []
    for case in (ONE_ROW, Case(1, 64), MANY):
        cpu = this.median(case, "cpu")
        rate = 1e6 / cpu
        row = [str(case), number(cpu), number(rate), number(rate * case.rows)]
        rows.append([*row, number(this.median(case, "rate"))])
    for kind, files in api.bulk.items():
        rate = median(file.rows / file.cpu for file in files)
        about = f"a file of {files[0].rows:,} rows ({kind}, {BULK} model)"
        rows.append([about, "", "", number(rate), ""])
    header = ["request", "µs of CPU", "requests/s a core", "rows/s a core", "requests/s seen"]
    return f"""## One core

A worker is one process with one event loop, so that it fills one core and never more. How many
requests that are is 1,000,000 µs divided by the CPU time of one. CPU time is what to reckon with:
it hardly changes with what else runs on a machine, while requests a second do.

{table(header, rows)}
"""


def money(api: Api) -> str:
    """What predictions cost."""
    rows = []
    for one in INSTANCES:
        rate = a_core(api) * one.cores * BUSY
        million = one.dollars / 3600 / rate * 1e6
        batch = one.dollars / 3600 / (a_core(api, MANY) * MANY.rows * one.cores * BUSY) * 1e6
        row = [f"{one.name} ({one.processor})", str(one.cores), f"${one.dollars:g}"]
        rows.append([*row, number(rate), f"${million:.2g}", f"${batch:.2g}"])
    header = ["instance", "cores", "an hour", f"requests/s at {BUSY:.0%}"]
    header += ["a million, one row each", f"a million rows, {MANY.rows} a request"]
    return f"""## A million predictions

An hour's price, divided by what the instance answers in an hour with its cores {BUSY:.0%} busy.
List prices, {SOURCE}: check them before you rely on them. A virtual core of these is a whole core.
It is assumed that each is as fast as the one measured here, which `make scale` on one of them would
show. Traffic, disks and what stands in front of the API are not in it, nor hours in which nobody
asks.

{table(header, rows)}
"""


def many(api: Api) -> str:
    """How many cores a high rate needs."""
    rate = a_core(api)
    cores, half = math.ceil(WANTED / rate), math.ceil(WANTED / rate / BUSY)
    peak = api.servers[THIS.name].peak
    sample = api.servers[THIS.name].samples[ONE_ROW][0]
    megabits = WANTED * sample.answer * 8 / 1e6
    return f"""## {WANTED:,} requests a second

{WANTED:,} / {number(rate)} = **{cores} cores** that do nothing else, **{half}** at {BUSY:.0%}. With
a worker each they hold at most {half} x {peak:.0f} MiB = {half * peak / 1024:.1f} GiB of memory,
and send {megabits:,.0f} Mbit/s of answers of {sample.answer:.0f} bytes. Workers share nothing but
the port, so they can be divided over machines as one likes.
"""


def breaks(api: Api) -> str:
    """What breaks first."""
    found, heavy = api.overload, HEAVY[-1]
    above, below = found.above, found.below
    one, two = api.workers[ONE.name], api.workers[TWO.name]
    twice = median(two.ratios(one, heavy))
    most = full(two, heavy, os.cpu_count() or 1) / one.median(heavy, "rate")
    answered, refused = (above.rate(fate) for fate in ("answered", "refused"))
    back = "more than half a minute" if above.recovered is None else f"{above.recovered:.1f} s"
    return f"""## What breaks first

1. **The core of a worker** (measured). At {above.share:g} times the capacity of
{number(found.capacity)} requests/s ({CASE.rows} rows each), asked for {above.seconds} s whether
answered or not, {number(answered)}/s were answered and {number(refused)}/s refused with 503 and
Retry-After, {above.seen.get("lost", 0)} were lost and {above.seen.get("unsent", 0)} found no free
connection for a second. The 99th percentile of those answered went from {number(below.sent_p99)} ms
(at {below.share:g} times) to {number(above.sent_p99)} ms from when they were sent, and
{number(above.p99)} ms from when they were due; memory from {above.memory[0]:.0f} to
{above.memory[-1]:.0f} MiB. Afterwards: as before after {back}. Refusing costs CPU time too, so add
workers before this, when cores are {BUSY:.0%} busy.
2. **Two workers are not quite two** (measured): {twice:.2f} times one at {heavy}. On these
{os.cpu_count()} cores, which wrk shares, {most:.2f} would leave no core idle. The kernel gives a
connection to the worker that takes it first, not to the idlest: few long connections divide
unevenly.
3. **What stands in front** (reasoned): TLS and the forwarding of {WANTED:,} requests a second are
work for several cores of a proxy. New connections cost more than requests: keep them.
4. **Counting by worker** (reasoned, from the code): `serving.per_minute` and
`serving.max_concurrency` hold for each worker, so a client's limit grows
with their number; limit it in the proxy instead.
5. **Large files** (reasoned, from the code): each worker answers two at a time, each in a process
of its own beside the worker's; more get 503. Give them machines of their own.
6. **Kept predictions** (reasoned, from the code): `serving.record` writes to one disk up to a limit
and drops what comes too fast, visibly in `/metrics`; keep a share of them.
"""
