"""Columns that may be known only after the target: questioned, and settled by the user."""

from __future__ import annotations

import math
import os
import pty
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import polars as pl
import pytest
import yaml
from dirty.late import PLANTS, Case, cases, tables
from sklearn import datasets

from coldstart.bundle._bundle import verify_bundle
from coldstart.contract._contract import Contract
from coldstart.data.profiling._availability import by_name
from coldstart.data.profiling._profiles import TableProfile
from engine.data.test_leaks import studied
from engine.support import PACKAGE, main

SEED = 3  # of tables that the limits were not chosen on


def mentioned(found: TableProfile) -> set[str]:
    """Columns that are questioned, or left out as leaks."""
    return {*found.findings.doubts, *(leak.column for leak in found.findings.leaks)}


BY_PLANT: dict[str, list[Case]] = defaultdict(list)
for case in cases(SEED):
    BY_PLANT[case.name.partition(", ")[2]].append(case)


@pytest.mark.parametrize("plant", [plant.__name__ for plant in PLANTS])
def test_each_late_column_is_mentioned_and_others_are_not(plant: str) -> None:
    """In eight tables; the aim is one clean column of twenty."""
    assert len(BY_PLANT[plant]) == 8
    wrong, clean = 0, 0
    for one in BY_PLANT[plant]:
        said = mentioned(studied(one.table, one.target))
        assert said >= set(one.planted), one.name
        wrong += len(said - set(one.planted))
        clean += one.table.width - 1 - len(one.planted)
    assert wrong <= clean / 20


def test_of_clean_columns_at_most_one_in_twenty_is_questioned() -> None:
    clean = [(table, target) for _, table, target in tables(SEED)]
    for load in (datasets.load_iris, datasets.load_wine, datasets.load_breast_cancer):
        table = pl.from_pandas(load(as_frame=True).frame.rename(columns=str))
        clean.append((table, "target"))
    questioned = [name for one, target in clean for name in mentioned(studied(one, target))]
    assert len(questioned) <= sum(table.width - 1 for table, _ in clean) / 20


@pytest.mark.parametrize(
    ("name", "strength", "doubtful"),
    [
        ("amount_paid", 0.15, True),
        ("Zahlungsende", 0.9, False),  # an end in a compound is not looked for
        ("Standgeld", 0.3, True),
        ("Standgeld", 0.1, False),
        ("fecha pago", 0.15, True),
        ("last_payment", 0.9, False),
        ("payment_method", 0.9, False),
        ("size", 0.9, False),
    ],
)
def test_a_name_is_doubtful_in_several_languages_if_the_column_tells_something(
    name: str, strength: float, doubtful: bool
) -> None:
    assert bool(by_name(name, strength)) == doubtful


@pytest.fixture
def loans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, and a table with an amount that is paid afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "config.yaml").write_text("data: {table: old.csv}\n")
    (tmp_path / "schema.yaml").write_text("columns: {old: {type: number, role: target}}\n")
    case = next(one for one in cases(SEED) if one.name == "houses, payment")
    case.table.write_csv("houses.csv")
    return tmp_path


def available() -> dict[str, str]:
    """What schema.yaml says of each column of which it says when it is available."""
    columns = yaml.safe_load(Path("schema.yaml").read_text())["columns"]
    return {name: one["available"] for name, one in columns.items() if "available" in one}


def test_a_doubtful_column_is_asked_about_until_it_is_settled(
    loans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "--source", "houses.csv", "--target", "price"]) == 0
    shown = capsys.readouterr().out
    assert "Known when you ask?" in shown
    assert "make data KNOWN=amount_paid (or AFTER=" in shown
    assert available() == {"amount_paid": "unconfirmed"}
    draft = Path("schema.yaml").read_text()
    assert "# Unconfirmed: its name (paid) suggests" in draft
    assert "amount_paid" not in shown.split("Check:")[-1].split("Strongest")[0]  # once is enough

    assert main(["data"]) == 0  # asks again
    assert "Known when you ask?" in capsys.readouterr().out
    assert Path("schema.yaml").read_text() == draft

    assert main(["data", "--after", "Amount paid"]) == 0
    assert "amount_paid is available after" in capsys.readouterr().out
    assert available() == {"amount_paid": "after"}
    after = Path("schema.yaml").read_text()
    assert after == draft.replace("available: unconfirmed", "available: after")
    assert main(["data"]) == 0
    assert "Known when you ask?" not in capsys.readouterr().out
    assert Path("schema.yaml").read_text() == after

    assert main(["data", "--known", "amount_paid,area"]) == 0
    assert available() == {"amount_paid": "before", "area": "before"}


def test_an_option_that_names_no_column_or_leaves_none_changes_nothing(
    loans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "--source", "houses.csv", "--target", "price"]
    assert main([*command, "--known", "amount_paid"]) == 0
    assert available() == {"amount_paid": "before"}
    schema = Path("schema.yaml").read_text()
    features = "amount_paid,listed,area,rooms,built,town"
    for mistake, told in {
        ("--known", "amount_payed"): "did you mean amount_paid",
        ("--known", "area", "--after", "area"): "in KNOWN and in AFTER",
        ("--after", features): "at least one column needs the role feature",
        ("--target", "price", "--horizon", "3"): "HORIZON is the number of steps to forecast",
    }.items():
        capsys.readouterr()
        assert main(["data", *mistake]) == 2
        assert told in capsys.readouterr().err
        assert Path("schema.yaml").read_text() == schema


@pytest.mark.parametrize(("answer", "when"), [("y", "before"), ("n", "after"), ("", "unconfirmed")])
def test_at_a_terminal_each_column_is_asked_about(loans: Path, answer: str, when: str) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", PACKAGE, "data", "--source", "houses.csv"]
    command += ["--target", "price", "--no-share"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while b"Is it known when you ask?" not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, f"{answer}\n".encode())
        while process.poll() is None:
            try:
                shown += os.read(ours, 1000)
            except OSError:  # the other side is closed
                break
    os.close(ours)
    assert process.returncode == 0, shown
    assert available() == {"amount_paid": when}
    assert (b"make data KNOWN=" in shown) == (not answer)


def months(path: Path, count: int = 120) -> None:
    """Sales by month, with a temperature that is measured and a holiday that is known."""
    dice = random.Random(0)
    lines = ["month,temperature,holidays,sales"]
    for n in range(count):
        warm = 10 - 12 * math.cos(2 * math.pi * n / 12) + dice.gauss(0, 2)
        days = dice.randint(0, 3)
        sales = 500 + 20 * warm - 15 * days + dice.gauss(0, 20)
        lines.append(f"{2014 + n // 12}-{n % 12 + 1:02}-01,{warm:.1f},{days},{sales:.0f}")
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("horizon", [None, 3])
def test_a_measured_column_of_a_forecast_is_known_up_to_the_origin(
    loans: Path, capsys: pytest.CaptureFixture[str], horizon: int | None
) -> None:
    months(loans / "sales.csv")
    command = ["data", "--source", "sales.csv", "--target", "sales"]
    assert main([*command, *(["--horizon", str(horizon)] if horizon else [])]) == 0
    ahead = horizon or 1
    assert f"forecasts {ahead} month(s) ahead" in capsys.readouterr().out
    columns = yaml.safe_load(Path("schema.yaml").read_text())["columns"]
    assert columns["sales"]["horizon"] == ahead
    assert available() == {"temperature": "with"}
    lags = {one["lag_of"]: one["steps"] for one in columns.values() if "lag_of" in one}
    assert lags["temperature"] == ahead
    assert "temperature" not in Contract.load(Path("schema.yaml")).features
    assert "holidays" in Contract.load(Path("schema.yaml")).features

    assert main(["train", "--models", "linear"]) == 0
    metrics = verify_bundle(Path("bundles/challenger")).metrics
    assert len(metrics["horizon"]) == ahead
    assert "seasonal naive" in capsys.readouterr().out

    assert main(["data", "--horizon", "6"]) == 2
    assert "FRESH=1" in capsys.readouterr().err


def test_figures_beyond_measure_are_profiled_as_well() -> None:
    table = next(tables(SEED))[1].drop("default")
    rows = pl.int_range(table.height).cast(pl.Float64)
    huge = table.with_columns(a=rows * 1e300, b=rows * -1e305, y=rows.sqrt() * 1e306)
    assert studied(huge, "y").findings.metric == "R²"
