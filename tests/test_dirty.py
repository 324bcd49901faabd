"""Tables as people have them: each kind of dirt alone and many together, from file to answer."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, GeneratedProject, clean_environment
from dirty.cases import CASES, HOPELESS, LEAKS, LONG, WEEKLY, WRITTEN_OTHERWISE
from dirty.sheets import customers

pytestmark = pytest.mark.slow
Results = dict[str, dict[str, Any]]

NESTED = {"income": "person.money.income", "age": "person.age", "city": "person.city"}
NAMES: dict[str, list[str]] = {
    "no_header": [f"column {n}" for n in range(1, 9)],
    "odd_names": ["class", "select", "Größe (€)", "📞 calls", "plan[0]", "city", 'a "b"', "churn?"],
    "doubled_and_empty_names": ["value", "value (2)", "column 3", *customers(1).names[3:]],
    "nested_json": [NESTED.get(name, name) for name in customers(1).names],
}
"""What the customers' columns are called where they are not called as in the clean table."""
DAILY = {name: case for name, case in CASES.items() if name not in WEEKLY}


def run_cases(project: GeneratedProject, folder: Path, names: list[str]) -> Results:
    """Run cases, and return what came out of each, by its name."""
    done = subprocess.run(
        [project.python, "-m", "dirty.driver", project.package, project.path, folder, *names],
        cwd=folder,
        env=clean_environment() | {"PYTHONPATH": str(ROOT / "tests"), "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    print(done.stderr[-8000:])
    assert done.returncode == 0, done.stderr[-4000:]
    found: Results = json.loads((folder / "results.json").read_text())
    assert set(found) == set(names)
    return found


@pytest.fixture(scope="session")
def results(
    installed: GeneratedProject,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Results:
    """What came out of every case but those that take minutes; of a run by day, of fewer."""
    by_day = "not weekly" in request.config.getoption("markexpr")
    names = [name for name in CASES if name not in (WEEKLY if by_day else LONG)]
    return run_cases(installed, tmp_path_factory.mktemp("dirty"), names)


def through(result: dict[str, Any]) -> dict[str, Any]:
    """The result of a case that went through every command, without a word from Python."""
    then = result.get("then", {"code": 0, "err": ""})
    assert (result["code"], then["code"]) == (0, 0), result["err"] + then["err"]
    assert "Traceback" not in result["err"] + then["err"]
    assert result["untouched"]
    return result


def auc(result: dict[str, Any]) -> float:
    """Area under the curve on the test rows."""
    return float(through(result)["metrics"]["test"]["roc_auc"])


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind.__name__, marks=[pytest.mark.weekly] * (kind.__name__ in WEEKLY))
        for kind in WRITTEN_OTHERWISE
    ],
)
def test_the_same_table_is_read_however_it_was_written(kind: str, results: Results) -> None:
    clean, dirty = through(results["customers"]), through(results[kind])
    names = dict(zip(customers(1).names, NAMES.get(kind, customers(1).names), strict=True))
    assert sorted(dirty["features"]) == sorted(names[name] for name in clean["features"])
    for name in [*clean["features"], "churn"]:
        assert dirty["columns"][names[name]]["type"] == clean["columns"][name]["type"], name
        assert dirty["values"][names[name]] == clean["values"][name], name


def test_the_clean_tables_teach_what_they_hold(results: Results) -> None:
    assert set(results["customers"]["features"]) == set(customers(1).names) - {"churn"}
    assert len(through(results["tumours"])["features"]) == 30
    assert auc(results["customers"]) > 0.8
    assert through(results["flats"])["metrics"]["test"]["r2"] > 0.75


@pytest.mark.parametrize("case", [name for name, case in DAILY.items() if case.trains])
def test_a_trained_model_answers_the_example_of_its_page(case: str, results: Results) -> None:
    assert through(results[case])["status"] == 200, results[case]["answer"]


def test_line_breaks_within_quotes_are_part_of_the_text(results: Results) -> None:
    clean = through(results["customers with notes"])
    dirty = through(results["quoted line breaks"])
    assert dirty["rows"] == clean["rows"] == 1200
    assert dirty["columns"]["note"]["type"] == "text"
    assert any('"bill", ' in text for text in dirty["values"]["note"])


def test_dates_in_several_formats_are_the_same_days(results: Results) -> None:
    clean, dirty = (
        through(results[name]) for name in ("customers with dates", "dates in several formats")
    )
    for result in (clean, dirty):
        assert result["columns"]["birthday"]["type"] == "date"
    assert dirty["columns"]["birthday"].get("role") == clean["columns"]["birthday"].get("role")
    assert dirty["values"].get("birthday") == clean["values"].get("birthday")


def test_ragged_rows_are_named_by_line_and_the_others_stay_whole(results: Results) -> None:
    dirty = through(results["ragged rows"])
    assert dirty["rows"] == 1200 - 13
    told = dirty["out"] + dirty["err"]
    assert "52" in told  # the line of row 50, below the header
    assert set(dirty["values"]["newsletter"]) == set(results["customers"]["values"]["newsletter"])
    assert dirty["classes"] == results["customers"]["classes"]


@pytest.mark.parametrize(
    ("case", "columns"),
    [
        ("constant and empty columns", {"country", "fax"}),
        ("identifier", {"customer_id", "token"}),
        ("person", {"name", "email", "phone", "address"}),
    ],
)
def test_columns_that_teach_nothing_or_name_a_person_are_left_out_with_a_reason(
    case: str, columns: set[str], results: Results
) -> None:
    dirty = through(results[case])
    assert set(dirty["features"]) == set(results["customers"]["features"])
    for name in columns:
        column = dirty["columns"].get(name, {"role": "ignore", "reason": "not in the table"})
        assert column["role"] in ("id", "ignore", "group"), name
        assert column.get("reason") or f"{name}:" in dirty["schema"]


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_is_left_out_and_told_first(leak: str, results: Results) -> None:
    case, columns = LEAKS[leak]
    dirty = through(results[f"leak: {leak}"])
    assert not columns & set(dirty["features"])
    for name in columns:
        assert dirty["columns"][name]["role"] == "ignore"
        assert dirty["columns"][name]["reason"]
        assert name in dirty["out"]
    clean = results["flats" if case.table().target == "price" else "customers"]
    assert set(dirty["features"]) == set(clean["features"])
    if "metrics" in dirty:
        name = "roc_auc" if "roc_auc" in dirty["metrics"]["test"] else "r2"
        gap = dirty["metrics"]["test"][name] - clean["metrics"]["test"][name]
        assert abs(gap) < 0.03


def test_rows_of_one_entity_stay_on_one_side(results: Results) -> None:
    dirty = through(results["repeated entities"])
    assert dirty["columns"]["patient"]["role"] == "group"
    assert "patient" not in dirty["features"]
    for split in dirty["splits"]:
        assert split["shared_groups"] == 0
        assert min(split["rows"]) > 0


def test_copies_of_a_row_stay_on_one_side(results: Results) -> None:
    dirty = through(results["duplicate rows"])
    assert all(split["copies"] == 0 for split in dirty["splits"])
    assert "400" in dirty["out"]


def test_rows_without_a_target_are_counted_and_kept_out(results: Results) -> None:
    dirty = through(results["rows without target"])
    assert "None" not in dirty["values"]["churn"]
    assert len(dirty["values"]["churn"]) == 1080
    assert "120" in dirty["out"] + dirty["then"]["out"]


def test_a_code_of_many_values_adds_what_it_knows(results: Results) -> None:
    dirty = through(results["codes of many values"])
    assert "tariff" in dirty["features"]
    assert auc(dirty) > auc(results["customers"]) - 0.02


def test_no_signal_is_called_no_signal(results: Results) -> None:
    dirty = through(results["no signal"])
    assert 0.4 < auc(dirty) < 0.6
    low, _ = dirty["metrics"]["interval"]
    assert low <= dirty["metrics"]["baseline"][dirty["metrics"]["primary"]]
    told = dirty["then"]["out"] + dirty["then"]["err"]
    assert "no signal" in told.lower() or "NO BETTER THAN" in told


@pytest.mark.parametrize("case", ["time series", "several series"])
def test_a_series_is_forecast_from_what_was_known(case: str, results: Results) -> None:
    dirty = through(results[case])
    assert dirty["columns"]["month"]["role"] == "time"
    lags = {name: column for name, column in dirty["columns"].items() if column.get("lag_of")}
    assert lags
    assert {column["lag_of"] for column in lags.values()} == {"sold"}
    if case == "several series":
        assert dirty["columns"]["shop"]["role"] == "series"
    assert all(split["in_order"] for split in dirty["splits"])
    assert dirty["metrics"]["test"]["r2"] > 0.5


def test_a_class_of_one_row_breaks_neither_split_nor_model(results: Results) -> None:
    dirty = through(results["singleton class"])
    assert {"setosa", "versicolor", "virginica"} <= set(dirty["classes"])
    assert dirty["metrics"]["test"]["accuracy"] > 0.85
    assert "unheard-of" in dirty["out"] + dirty["then"]["out"] + dirty["schema"]


def test_imbalance_keeps_the_order_of_the_rows(results: Results) -> None:
    dirty = through(results["imbalance"])
    assert 0.05 < dirty["values"]["churn"].count("True") / dirty["rows"] < 0.3
    assert auc(dirty) > 0.75
    assert dirty["metrics"]["primary"] == "average_precision"


def test_few_rows_are_split_several_times_and_warned_of(results: Results) -> None:
    assert_few_rows(through(results["thirty rows"]))


@pytest.mark.weekly
def test_few_rows_of_thousands_of_columns_train(
    installed: GeneratedProject, tmp_path: Path
) -> None:
    for result in run_cases(installed, tmp_path, sorted(LONG)).values():
        assert_few_rows(through(result))


def assert_few_rows(dirty: dict[str, Any]) -> None:
    """Check that rows were split several times, and that the person was told they are few."""
    assert len(dirty["splits"]) >= 5
    low, high = dirty["metrics"]["interval"]
    assert high - low > 0.02
    told = dirty["out"] + dirty["then"]["out"] + dirty["then"]["err"]
    assert "few" in told.lower()


def test_many_kinds_together_are_as_harmless_as_one(results: Results) -> None:
    clean, dirty = results["customers"], through(results["many together"])
    assert set(dirty["features"]) == set(clean["features"])
    for name in clean["features"]:
        assert dirty["columns"][name]["type"] == clean["columns"][name]["type"], name
        assert set(dirty["values"][name]) == set(clean["values"][name]), name
    assert all(split["copies"] == 0 for split in dirty["splits"])
    assert abs(auc(dirty) - auc(clean)) < 0.06  # another split of the same rows, some twice


@pytest.mark.parametrize("file", HOPELESS)
def test_a_hopeless_file_is_refused_in_a_line_or_two(file: str, results: Results) -> None:
    result = results[f"hopeless: {file}"]
    assert result["code"] == 2, result["out"] + result["err"]
    told = [line for line in result["err"].splitlines() if line.strip()]
    assert told[0].startswith("error: ")
    assert len(told) <= 2
    assert "Traceback" not in result["err"]
    name = Path(HOPELESS[file].file).name
    assert name in result["err"] or re.search(rf"\b{HOPELESS[file].target}\b", result["err"])
    assert result["untouched"]
    assert result["settings_kept"]
