"""The benchmark: a baked project's API and training loop beside others, measured in turns.

    python tests/bench/bench.py                   bakes and trains the default project first
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
from pathlib import Path

import report
from project import UserError, find_project, ingredients
from serving import measure_serving
from training import measure_training


def main() -> int:
    """Measure and print; a missed target is a finding, not an error."""
    arguments = parse()
    try:
        check_machine()
        with tempfile.TemporaryDirectory(prefix="coldstart-bench-") as temporary:
            folder = Path(temporary)
            project = find_project(arguments.project or folder / "project")
            facts = ingredients(project, folder)
            training = measure_training(project, folder, arguments.rounds, arguments.epochs)
            serving = measure_serving(
                project, folder, arguments.rounds, arguments.seconds, arguments.starts
            )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(report.machine(project, facts))
    print(report.serving(serving))
    print(report.training(training))
    print(report.targets(serving, training))
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--project", type=Path, metavar="DIR", help="baked project; made there if there is none")
    add("--quick", action="store_true", help="2 rounds of 1 s, 1 start, 2 epochs")
    add("--rounds", type=positive, help="how often each thing is measured (7)")
    add("--seconds", type=positive, help="how long one measurement of a server takes (1)")
    add("--starts", type=positive, help="cold starts of each server (3)")
    add("--epochs", type=positive, help="epochs of one training (40, as the project at most)")
    arguments = parser.parse_args()
    defaults = (2, 1, 1, 2) if arguments.quick else (7, 1, 3, 40)
    for name, default in zip(("rounds", "seconds", "starts", "epochs"), defaults, strict=True):
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    return arguments


def positive(text: str) -> int:
    """Read a number from 1; wrk counts in whole seconds too."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def check_machine() -> None:
    """Refuse a machine that the benchmark cannot measure on.

    Raises
    ------
    UserError
        If wrk or /proc is missing.
    """
    if shutil.which("wrk") is None:
        raise UserError("wrk, which loads the servers, is missing: apt-get install wrk")
    if not Path("/proc/self/stat").is_file():
        raise UserError("CPU time and memory are read from /proc: run this on Linux")


if __name__ == "__main__":
    sys.exit(main())
