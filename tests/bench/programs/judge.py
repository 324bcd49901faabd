"""Runs in the generated project: what its commands judge of tables whose answer is known.

Usage: python judge.py PACKAGE FOLDER DRAWS

Prints as JSON what came out of DRAWS draws of the tables of each kind, in FOLDER.
"""

# The generated project's environment has these libraries, the template's has not.
# mypy: ignore-errors

import contextlib
import io
import json
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import wire
from sklearn import datasets

from coldstart import Settings
from coldstart.cli import main as command_line
from coldstart.config import DataSettings
from coldstart.data import Split, prepare
from coldstart.data._splitting import split
from coldstart.data.profiling._profiling import profile_table
from coldstart.data.reading._read import read
from coldstart.train import Fitter, predict_test_rows, predict_validation_rows

sys.path.append(str(Path(__file__).resolve().parents[2]))
from dirty.drifting import KINDS, simulated
from dirty.late import PLANTS, cases, tables

BUNDLED = ("iris", "wine", "breast_cancer", "diabetes", "digits")
ROWS = 200
TARGETS = {
    "classes": {
        "status": ["1", "2"],
        "default": ["0", "1"],
        "result": ["1.0", "2.0"],
        "approved": ["yes", "no"],
        "severity": ["0", "1", "2", "3"],
        "grade": ["1", "2", "3", "4", "5", "6"],
        "pclass": ["1", "2", "3"],
        "cylinders": ["4", "6", "8"],
        "zone": ["10", "20", "30", "40"],
        "label": [str(number) for number in range(10)],
        "color": ["red", "green", "blue"],
        "quadrant": ["-1", "1", "2", "-2"],
    },
    "a number": {
        "visits": ["0", "1", "2", "3"],
        "rating": ["1", "2", "3", "4", "5"],
        "quality": ["3", "4", "5", "6", "7", "8", "9"],
        "goals": [str(number) for number in range(8)],
        "age": [str(number) for number in range(18, 80)],
        "points": [str(number) for number in range(0, 110, 10)],
        "price": [str(number) for number in range(1_000, 90_000, 500)],
        "share": ["0.25", "0.5", "0.75"],
        "income": [f"{number / 7:.2f}" for number in range(300, 900)],
        "weight": [f"{number / 10}".replace(".", ",") for number in range(300, 900)],
        "change": [str(number) for number in range(-20, 20)],
        "year built": [str(number) for number in range(1900, 2020)],
    },
}
"""For each kind of target, names of columns and the values that they are drawn from."""


def profile(table, target):
    """Profile a table by way of a file, as `make data` does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        table.write_csv(path, separator="\t")
        return profile_table(read(DataSettings(table=path)), target)


def judge_kinds(seed):
    """Yield the name of each target, the kind that it is, and the kind that it is taken for."""
    dice = np.random.default_rng(seed)
    for kind, columns in TARGETS.items():
        for name, values in columns.items():
            drawn = {name: dice.choice(values, ROWS), "x": dice.normal(size=ROWS).round(3)}
            found = profile(pl.DataFrame(drawn), name).profiles[name].type
            yield name, kind, "a number" if found == "number" else "classes"


def judge_late(seed, count):
    """Yield a kind of late columns, how many are there and found, and alarms of how many clean."""
    for case in list(cases(seed))[: count * len(PLANTS)]:
        found = profile(case.table, case.target).findings
        said = {*found.doubts, *(leak.column for leak in found.leaks)}
        planted = set(case.planted)
        clean = case.table.width - 1 - len(planted)
        kind = case.name.partition(", ")[2]
        yield kind, len(planted), len(said & planted), len(said - planted), clean
    for _, table, target in list(tables(seed))[:count]:
        found = profile(table, target).findings
        said = {*found.doubts, *(leak.column for leak in found.leaks)}
        yield "none", 0, 0, len(said), table.width - 1


def bring(own, name, table):
    """Run `make data` for a table whose target is `y`, and return it prepared."""
    folder = Path(name)
    folder.mkdir()
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as said:
        table.write_csv("table.csv")
        Path("config.yaml").write_text("data: {table: none.csv}\n")
        if command_line(own, ["data", "--source", "table.csv", "--target", "y"]):
            raise RuntimeError(f"make data failed for {name}: {said.getvalue()}")
        settings = Settings.load(own)
        return settings, prepare(settings)


def bundled(name):
    """Return one of the tables that come with scikit-learn."""
    table = pl.from_pandas(getattr(datasets, f"load_{name}")(as_frame=True).frame)
    return table.rename({"target": "y"})


def suitable(models, dataset):
    """Return the model types that suit a table, without the network, which takes minutes."""
    unsuitable = models.unsuitable_families(dataset.contract, dataset.target(dataset.smallest_part))
    return [name for name in models.FAMILIES if name not in {*unsuitable, "neural"}]


def choose(models, settings, dataset):
    """Return the model type with the best validation score, and the test score of each."""
    validation, test = {}, {}
    for name in suitable(models, dataset):
        fitter = Fitter(models.FAMILIES[name], settings, dataset)
        held = predict_validation_rows(dataset, fitter)
        validation[name] = held.score()
        test[name] = max(0.0, predict_test_rows(dataset, fitter, held).score())
    return max(validation, key=validation.__getitem__), test


def judge_choices(own, models, draws, few):
    """Yield what each table lost by the choice: the best test score less the chosen one's."""
    brought = {name: [bundled(name)] for name in (BUNDLED[:1] if few else BUNDLED)}
    for kind in KINDS[:1] if few else KINDS:
        for classes in (False, True):
            name = f"{kind}, {'classes' if classes else 'a number'}"
            brought[name] = [simulated(kind, seed, classes) for seed in range(draws)]
    for name, drawn in brought.items():
        for number, table in enumerate(drawn):
            start = time.process_time()
            chosen, test = choose(models, *bring(own, f"{name} {number}", table))
            spent = time.process_time() - start
            best = max(test, key=test.__getitem__)
            yield name, chosen, best, test[best] - test[chosen], spent


def judge_stability(own, models, draws):
    """Yield how many shuffles of a table choose another model type than most of them do."""
    for classes in (False, True):
        kind = "classes" if classes else "a number"
        table = simulated("nothing changes", 0, classes).drop("day")
        settings, dataset = bring(own, f"shuffled, {kind}", table)
        chosen = Counter()
        for seed in range(4 * draws):
            parts = split(dataset.table, dataset.contract, settings.split, seed)
            shuffled = replace(dataset, splits=[Split.of(part) for part in parts])
            chosen[choose(models, settings, shuffled)[0]] += 1
        yield kind, chosen.total() - chosen.most_common(1)[0][1], chosen.total()


def main(package, folder, draws):
    """Judge, and print."""
    warnings.simplefilter("ignore")
    models, own = import_module(f"{package}.models"), wire.find_project(package)
    work = Path(folder, "judgement").resolve()
    work.mkdir()
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{work}/mlflow.db"
    few = draws == 1
    with contextlib.chdir(work):
        found = {
            "kinds": [one for seed in range(draws) for one in judge_kinds(seed)],
            "late": [one for seed in range(draws) for one in judge_late(seed, 1 if few else 8)],
            "choices": list(judge_choices(own, models, draws, few)),
            "stability": list(judge_stability(own, models, draws)),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
