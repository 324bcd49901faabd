"""Leaks are left out, and strong features are not."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
from sklearn import datasets

from coldstart.config._sections import DataSettings
from coldstart.data.profiling._profiles import TableProfile
from coldstart.data.profiling._profiling import profile_table
from coldstart.data.reading._read import read

ROWS = 400
WEAK = 1.2  # standard deviations between the classes


def studied(
    table: Mapping[str, object] | pl.DataFrame,
    target: str = "y",
    decided: Mapping[str, Mapping[str, object]] | None = None,
) -> TableProfile:
    """Study a table, by way of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        pl.DataFrame(table, strict=False).write_csv(path)
        return profile_table(read(DataSettings(table=path)), target, decided)


def classes(**more: object) -> dict[str, object]:
    """Two honest features, and what a test adds."""
    rng = random.Random(1)
    y = [rng.random() < 0.4 for _ in range(ROWS)]
    return {
        "a": [f"{rng.gauss(WEAK * one, 1):.3f}" for one in y],
        "b": [rng.choice("pqr" if one else "qrs") for one in y],
        **more,
        "y": ["sick" if one else "well" for one in y],
    }


def quantities(**more: object) -> dict[str, object]:
    rng = random.Random(2)
    a = [rng.gauss(0, 1) for _ in range(ROWS)]
    y = [50 + 10 * one + rng.gauss(0, 10) for one in a]
    return {"a": [f"{one:.3f}" for one in a], **more, "y": [f"{one:.4f}" for one in y]}


LABELS = [one == "sick" for one in classes()["y"]]  # type: ignore[attr-defined]
VALUES = [float(one) for one in quantities()["y"]]  # type: ignore[attr-defined]
RNG = random.Random(3)
PROSE = [
    "seen",
    "again",
    "later",
    "by",
    "our",
    "staff",
    "who",
    "wrote",
    "down",
    "what",
    "they",
    "could",
    "and",
    "left",
]


def note(sick: bool) -> str:
    ending = "clearly sick" if sick and RNG.random() < 0.5 else "sent home"
    return " ".join(RNG.choices(PROSE, k=8)) + " " + ending


LEAKS = {
    "a copy in other words": classes(leak=["1" if one else "0" for one in LABELS]),
    "a score that was made from it": classes(
        leak=[f"{one + RNG.gauss(0, 0.1):.3f}" for one in LABELS]
    ),
    "filled in afterwards": classes(
        leak=["home" if one and RNG.random() > 0.02 else None for one in LABELS]
    ),
    "present in one class only": classes(
        leak=["cold" if one and RNG.random() < 0.3 else None for one in LABELS]
    ),
    "a text that tells": classes(leak=[note(one) for one in LABELS]),
    "on another scale": quantities(leak=[f"{one * 1.8 + 32:.4f}" for one in VALUES]),
    "its logarithm": quantities(leak=[f"{(one + 100) ** 3:.6f}" for one in VALUES]),
}


@pytest.mark.parametrize("case", LEAKS)
def test_a_leak_is_left_out_with_the_score_it_would_have_faked(case: str) -> None:
    found = studied(LEAKS[case])
    assert [leak.column for leak in found.findings.leaks] == ["leak"]
    leak = found.findings.leaks[0]
    assert leak.score > 0.55
    assert f"{leak.score:.3f}" in found.profiles["leak"].settings["reason"]
    assert found.profiles["a"].role == "feature"


def test_columns_that_add_up_to_the_target_are_left_out() -> None:
    part = [RNG.gauss(0, 10) for _ in VALUES]
    found = studied(quantities(casual=[f"{one:.4f}" for one in part],
                               member=[f"{y - p:.4f}" for y, p in zip(VALUES, part, strict=True)])
    )  # fmt: skip
    assert {leak.column for leak in found.findings.leaks} == {"casual", "member"}


def test_of_a_difference_the_total_is_left_out() -> None:
    part = [RNG.gauss(0, 10) for _ in VALUES]
    found = studied(quantities(rest=[f"{one:.4f}" for one in part],
                               total=[f"{y + p:.4f}" for y, p in zip(VALUES, part, strict=True)])
    )  # fmt: skip
    assert [leak.column for leak in found.findings.leaks] == ["total"]


def test_of_a_product_the_ratio_is_left_out() -> None:
    size = [RNG.uniform(40, 200) for _ in VALUES]
    found = studied(
        quantities(
            size=[f"{one:.1f}" for one in size],
            price_per_m2=[
                f"{y / float(f'{one:.1f}'):.4f}" for y, one in zip(VALUES, size, strict=True)
            ],
        )
    )
    assert [leak.column for leak in found.findings.leaks] == ["price_per_m2"]
    assert "y follows from size x price_per_m2 exactly" in found.findings.leaks[0].why


def test_what_is_a_leak_in_coarser_steps_is_one_too() -> None:
    y = [RNG.uniform(0, 100) for _ in range(3000)]
    found = studied({"a": [f"{one + RNG.gauss(0, 30):.2f}" for one in y],
                     "fine": [f"f{one // 4:.0f}" for one in y],
                     "coarse": [f"c{one // 20:.0f}" for one in y],
                     "y": [f"{one:.4f}" for one in y]})  # fmt: skip
    assert {leak.column for leak in found.findings.leaks} == {"fine", "coarse"}


def test_a_column_named_after_the_outcome_is_left_out_if_it_tells_most() -> None:
    later = [f"{2.5 * one + RNG.gauss(0, 1):.2f}" for one in LABELS]
    assert studied(classes(result_code=later)).profiles["result_code"].role == "ignore"
    assert studied(classes(blood_count=later)).profiles["blood_count"].role == "feature"


@pytest.mark.parametrize("load", [datasets.load_iris, datasets.load_breast_cancer,
                                  datasets.load_wine, datasets.load_diabetes])  # fmt: skip
def test_nothing_is_left_out_of_tables_with_strong_honest_features(load: object) -> None:
    bunch = load(as_frame=True)  # type: ignore[operator]
    found = studied(bunch.frame.to_dict("list"), "target")
    assert not found.findings.leaks
    assert len(found.with_role("feature")) == len(bunch.feature_names)


def test_a_column_that_stands_out_far_is_kept_with_a_warning() -> None:
    severity = [label ^ (i % 70 == 0) for i, label in enumerate(LABELS)]
    found = studied(classes(severity=[str(3 + one) for one in severity]))
    assert found.profiles["severity"].role == "feature"
    assert "severity" in [doubt.column for doubt in found.findings.warnings]


def test_a_text_that_is_the_task_is_kept() -> None:
    spam, ham = (
        ["win", "cash", "prize", "now", "click", "free", "offer"],
        ["meeting", "lunch", "report", "tomorrow"],
    )
    texts = [" ".join(RNG.choices((spam if one else ham) + PROSE, k=14)) for one in LABELS]
    found = studied(classes(message=texts))
    assert found.profiles["message"].role == "feature"
    assert found.findings.alone["message"] > 0.95


def test_the_last_feature_is_kept_and_doubted() -> None:
    found = studied(
        {"x": [f"{one * 2:.4f}" for one in VALUES], "y": [f"{one:.4f}" for one in VALUES]}
    )
    assert not found.findings.leaks
    assert [leak.column for leak in found.findings.warnings] == ["x"]


def test_missing_values_that_tell_a_little_are_kept() -> None:
    gaps = [
        None if RNG.random() < (0.2 if one else 0.4) else f"{RNG.random():.3f}" for one in LABELS
    ]
    assert not studied(classes(gaps=gaps)).findings.leaks


def patients(name: str = "patient_id") -> dict[str, list[str]]:
    """Return 47 patients of 50 rows: what is measured tells who it is, and a little of `y`."""
    rng = random.Random(4)
    table: dict[str, list[str]] = {name: [], **{f"m{n}": [] for n in range(6)}, "ward": [], "y": []}
    for patient in range(47):
        level, own = rng.gauss(0, 1.2), [rng.gauss(0, 1) for _ in range(6)]
        for _ in range(50):
            sick = rng.gauss(0, 1) + 2 * level > 1
            table[name].append(f"P{patient:03}")
            for n in range(6):
                table[f"m{n}"].append(f"{own[n] + 0.5 * level + rng.gauss(0, 0.15):.3f}")
            table["ward"].append(f"w{patient // 2}")
            table["y"].append("sick" if sick else "well")
    return table


def test_where_rows_are_split_by_patient_columns_are_scored_by_patient() -> None:
    table = patients()
    by_patient = studied(table).findings
    table.pop("patient_id")
    by_row = studied(table).findings
    assert by_patient.group == "patient_id"
    assert by_row.group == ""
    assert by_row.together > 0.9
    assert by_patient.together < 0.85
    assert by_row.alone["ward"] > 0.75
    assert by_patient.alone["ward"] < 0.65


def test_columns_are_scored_by_the_group_that_the_schema_has() -> None:
    table = patients("name of the sheet")
    found = studied(table, "y", {"name of the sheet": {"role": "group"}}).findings
    assert found.group == "name of the sheet"
    assert found.together < 0.85
    assert studied(table, "y", {"ward": {"role": "group"}}).findings.group == "ward"
    assert studied(table, "y", {"m0": {"role": "time"}}).findings.group == ""


def test_rows_without_a_group_are_scored_by_each_other() -> None:
    table = patients()
    table.pop("patient_id")
    named = 20
    table["ward"] = [ward if row < named else "" for row, ward in enumerate(table["ward"])]
    by_row = studied({name: values for name, values in table.items() if name != "ward"}).findings
    found = studied(table, "y", {"ward": {"role": "group"}}).findings
    assert found.group == "ward"
    assert found.alone["m0"] == pytest.approx(by_row.alone["m0"], abs=0.05)
    assert found.together == pytest.approx(by_row.together, abs=0.05)


def test_a_number_is_scored_by_group_as_well() -> None:
    table = patients()
    rng, level = random.Random(5), {}
    for patient in table["patient_id"]:
        level.setdefault(patient, rng.gauss(0, 10))
    table["y"] = [f"{level[one] + rng.gauss(0, 2):.3f}" for one in table["patient_id"]]
    by_patient = studied(table).findings.together
    table.pop("patient_id")
    assert studied(table).findings.together > 0.9
    assert by_patient < 0.3
