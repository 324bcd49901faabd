"""The benchmark: a generated project's API, training loop and large tables beside others, in turns.

Also what the project judges by itself, on tables whose answer is known.

    python tests/bench/bench.py                   generates and trains the default project first
    python tests/bench/bench.py --parts serving   only the API, in about twelve minutes
    python tests/bench/bench.py --project DIR     keeps it in DIR, and takes it from there again
    python tests/bench/bench.py --quick           only shows that the benchmark works

The machine is never quite at rest, so nothing is compared across time: in each round
every server is measured once in every case, in shuffled order, and ratios are taken
round by round. What is printed is the median over the rounds.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import report
import report_api
from api import FAMILY, Amount, measure_api
from document import write_document
from judgement import measure_judgement
from project import UserError, find_project, ingredients
from scale import measure_scale
from servers import RIVALS
from small import measure_small
from streaming import measure_streaming
from targets import targets
from training import measure_training

PARTS: dict[str, Callable[[Any], str]] = {
    "serving": report_api.serving,
    "training": report.training,
    "scale": report.scale,
    "streaming": report.streaming,
    "judgement": report.judgement,
    "small": report.small,
}
THOROUGH = {
    "rounds": 7,
    "seconds": 1,
    "starts": 3,
    "epochs": 40,
    "rows": [300_000, 3_000_000, 20_000_000],
    "bulk": 1_000_000,
    "overload": 60,
    "streamed": [2_000_000, 20_000_000],
    "draws": 3,
}
QUICK = {
    "rounds": 1,
    "seconds": 1,
    "starts": 1,
    "epochs": 2,
    "rows": [10_000, 20_000],
    "bulk": 20_000,
    "overload": 2,
    "streamed": [20_000, 40_000],
    "draws": 1,
}


def main() -> int:
    """Measure and print; a missed target is a finding, not an error."""
    asked = parse()
    parts: dict[str, Any] = dict.fromkeys(PARTS)
    try:
        check_machine(asked.parts)
        with tempfile.TemporaryDirectory(prefix="coldstart-bench-") as temporary:
            folder = Path(temporary)
            project = find_project(asked.project or folder / "project")
            facts = ingredients(project, project.bundle_of(FAMILY), folder)
            if "training" in asked.parts:
                parts["training"] = measure_training(project, folder, asked.rounds, asked.epochs)
            if "serving" in asked.parts:
                amount = Amount(
                    asked.rounds, asked.seconds, asked.starts, asked.bulk, asked.overload
                )
                parts["serving"] = measure_api(project, folder, asked.rivals, amount)
            if "scale" in asked.parts:
                parts["scale"] = measure_scale(project, folder, asked.rows, asked.rounds)
            if "streaming" in asked.parts:
                parts["streaming"] = measure_streaming(project, folder, asked.streamed)
            if "judgement" in asked.parts:
                parts["judgement"] = measure_judgement(project, folder, asked.draws)
            if "small" in asked.parts:
                parts["small"] = measure_small(project, folder, asked.rounds)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(report.machine(facts))
    for part, tables in PARTS.items():
        if parts[part]:
            print(tables(parts[part]))
    print(targets(**parts))
    if asked.write:
        write_document(asked.write, parts["serving"])
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add(
        "--project", type=Path, metavar="DIR", help="generated project; made there if there is none"
    )
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure (all)")
    add("--rivals", nargs="*", choices=RIVALS, default=list(RIVALS), help="beside whom (all)")
    add(
        "--write",
        type=Path,
        metavar="FILE",
        help="docs/reference/scale.md, from what serving was measured",
    )
    add("--quick", action="store_true", help="as little of everything as there can be")
    add("--rounds", type=positive, help="how often each thing is measured (7)")
    add("--seconds", type=positive, help="how long one measurement of a server takes (1)")
    add("--starts", type=positive, help="cold starts of each server (3)")
    add("--epochs", type=positive, help="epochs of one training (40, as the project at most)")
    add("--rows", type=positive, nargs="+", help="sizes of tables (300000 3000000 20000000)")
    add("--bulk", type=positive, help="rows of a file that is sent to the API (1000000)")
    add("--overload", type=positive, help="seconds of too many requests (60)")
    add("--streamed", type=positive, nargs="+", help="rows to stream (2000000 20000000)")
    add("--draws", type=positive, help="tables of each kind to judge; 1: a few kinds (3)")
    arguments = parser.parse_args()
    if arguments.write and "serving" not in arguments.parts:
        parser.error("--write is about the API: it needs --parts serving")
    defaults = QUICK if arguments.quick else THOROUGH
    for name, default in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    return arguments


def positive(text: str) -> int:
    """Read a number from 1; wrk counts in whole seconds too."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def check_machine(parts: Sequence[str]) -> None:
    """Refuse a machine that the benchmark cannot measure on.

    Raises
    ------
    UserError
        If wrk or /proc is missing.
    """
    if "serving" in parts and shutil.which("wrk") is None:
        raise UserError("wrk, which loads the servers, is missing: apt-get install wrk")
    if not Path("/proc/self/stat").is_file():
        raise UserError("CPU time and memory are read from /proc: run this on Linux")


if __name__ == "__main__":
    sys.exit(main())
