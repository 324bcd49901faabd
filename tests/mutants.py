"""Mutation testing of what the evaluation and the API promise: `make mutants`.

With `FUNCTIONS="take holder"`, of these functions alone; with `JOBS=1`, one at a time.

mutmut changes one operator, number or word of the functions below at a time, runs the tests that
call them, and counts the mutants that no test notices. It needs a folder `src`, so it works on a
copy of the repository in `.mutants`. A process that a test starts runs the code as it is, and
notices none.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from conftest import ROOT, kept

FOLDER = ROOT / ".mutants"
ENGINE = "{{cookiecutter.project_slug}}/vendor/coldstart"
CODE = {
    "data/_splitting.py": ("split", "split_units", "group_numbers", "rolling", "cross_validation"),
    "train/_folds.py": ("train_and_validation_rows", "predict_test_rows", "inner_folds"),
    "train/_clusters.py": ("time_blocks",),
    "train/_part_shift.py": ("part_shift", "chance"),
    "train/_decision.py": ("tune_decision", "tune_threshold"),
    "export/_onnx.py": ("check_parity",),
    "serve/_access.py": ("holder", "take", "read_keys"),
    "serve/_limits.py": ("__call__",),
    "monitor/_live_metrics.py": ("score_at", "of"),
    "tracking/_gate.py": ("compare", "compare_apart", "is_as_good", "promotion_blockers"),
    "cloud/_snapshots.py": ("restore", "fetch", "write"),
    "cloud/aws/_inventory.py": ("overdue",),
}
"""Functions of the engine, by module."""
TESTS = (
    "test_splitting.py",
    "test_test_rows.py",
    "test_parity.py",
    "test_part_shift.py",
    "test_baselines.py",
    "test_intervals.py",
    "test_gate.py",
    "test_limits.py",
    "cloud/test_snapshots.py",
    "cloud/aws/test_sweep.py::test_overdue_counts_from_the_deadline_or_a_day",
)
"""Tests of those functions that run in seconds."""
SLOW = (
    "test_baselines.py::test_of_columns",
    "test_baselines.py::test_a_column",
    "test_intervals.py::test_the_interval_holds",
    "test_intervals.py::test_where_rows_are_grouped",
    "test_parity.py::test_a_difference_in_hostile",
    "test_parity.py::test_a_faithful",
    "test_parity.py::test_a_label_may",
    "test_parity.py::test_a_silently",
    "test_parity.py::test_one_row",
    "test_part_shift.py::test_of_parts_without_a_shift",
    "test_part_shift.py::test_few_groups",
    "test_test_rows.py::test_one_split",
    "test_test_rows.py::test_of_few_rows",
    "test_test_rows.py::test_a_search",
    "test_test_rows.py::test_settings",
    "test_test_rows.py::test_the_challenger",
    "cloud/test_snapshots.py::test_a_database",
)
"""Of these, tests that train or simulate: the start of their names."""
MESSAGES = [r"\braise ", r"\bprint\(", r"error_body", r"UserError\("]
"""Lines whose text may change; no test holds the words of a message."""


def main() -> int:
    """Run mutmut, print a table, and return its exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("functions", nargs="*", metavar="FUNCTION")
    parser.add_argument("--jobs", default=str(os.cpu_count()), help="mutants at a time")
    options = parser.parse_args()
    if unknown := set(options.functions) - {name for names in CODE.values() for name in names}:
        parser.error(f"{', '.join(sorted(unknown))}: not among the functions of {__file__}")
    code = {
        module: [name for name in names if name in options.functions or not options.functions]
        for module, names in CODE.items()
    }
    shutil.rmtree(FOLDER, ignore_errors=True)
    copy([module for module, names in code.items() if names])
    chosen = [
        f"coldstart.{module.removesuffix('.py').replace('/', '.')}.x*{name}__mutmut_*"
        for module, names in code.items()
        for name in names
    ]
    mutmut = Path(sys.executable).with_name("mutmut")
    command: list[str | Path] = [mutmut, "run", "--max-children", options.jobs, *chosen]
    returned = subprocess.run(command, cwd=FOLDER).returncode
    listed: list[str | Path] = [mutmut, "results", "--all", "true"]
    found = subprocess.run(listed, cwd=FOLDER, capture_output=True, text=True, check=True).stdout
    print(table(found))
    return returned


def copy(modules: list[str]) -> None:
    """Copy the files that git keeps, with the engine's source where mutmut looks for it."""
    for path in kept():
        target = FOLDER / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    shutil.copytree(FOLDER / ENGINE / "src", FOLDER / "src")
    left_out = [f"--deselect=tests/engine/{test}" for test in SLOW]
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/coldstart/{module}" for module in modules],
        "also_copy": [ENGINE.partition("/")[0]],
        "do_not_mutate_patterns": MESSAGES,
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-m", "not weekly", *left_out],
        "pytest_add_cli_args_test_selection": [f"tests/engine/{test}" for test in TESTS],
        # Not forked after a test ran: threads of polars would be missing.
        "process_isolation": "forkserver",
    }
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
    with (FOLDER / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.writelines(["\n[tool.mutmut]\n", *lines])


def table(results: str) -> str:
    """Return a table of the mutants of each function."""
    counts: dict[str, Counter[str]] = {}
    for name, outcome in re.findall(r"coldstart\.(\S+)__mutmut_\d+: (.*)", results):
        if outcome != "not checked":
            function = re.sub(r"x(_|ǁ\w+ǁ)", "", name).replace("ǁ", ".")
            counts.setdefault(function, Counter())[outcome] += 1
    lines = ["| function | mutants | noticed | not noticed |", "|---|---|---|---|"]
    for function, found in counts.items():
        noticed = found["killed"] + found["timeout"]
        lines.append(f"| `{function}` | {found.total()} | {noticed} | {found.total() - noticed} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
