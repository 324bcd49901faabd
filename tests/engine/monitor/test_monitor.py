"""Drift is found and named, and no other column. One real training, real files."""

from __future__ import annotations

import datetime as dt
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from coldstart.bundle._bundle import Manifest, verify_bundle, write_checksums
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract._contract import Contract
from coldstart.monitor._live_metrics import measure_outcomes
from coldstart.monitor._outcomes import explain_new_classes
from coldstart.monitor._rows import LABEL, PREDICTION, with_predictions
from engine.held_out import held_out_once
from engine.monitor.champion import copy_champion, train_champion
from engine.support import PACKAGE, main

COLUMNS: dict[str, dict[str, Any]] = {
    "weight": {"type": "number", "minimum": 0, "maximum": 1000},
    "colour": {"type": "category"},
    "bruised": {"type": "boolean"},
    "picked": {"type": "date"},
    "note": {"type": "text"},
    "sweet": {"type": "boolean", "role": "target", "nullable": False},
}
WORDS = ("from", "the", "north", "field", "ripe", "soft", "early", "wet")
Made = Callable[..., pl.DataFrame]


def fruit(rows: int, seed: int = 0, **changed: Any) -> pl.DataFrame:
    """Typed rows: heavy and red fruit are sweet. What is given takes the place of a column."""
    dice = random.Random(seed)
    table = []
    for _ in range(rows):
        weight, colour = dice.gauss(150, 30), dice.choice(["red", "red", "green", "blue"])
        row = {
            "weight": None if dice.random() < 0.05 else abs(weight),
            "colour": colour,
            "bruised": dice.random() < 0.2,
            "picked": dt.date(2024, 1, 1) + dt.timedelta(dice.randrange(300)),
            "note": " ".join(dice.choices(WORDS, k=4)),
            "sweet": weight + 40 * (colour == "red") + dice.gauss(0, 20) > 180,
        }
        table.append(row | {name: make(row) for name, make in changed.items()})
    kinds = {name: type(value) for name, value in row.items() if name in changed}
    return pl.DataFrame(table, schema_overrides={"weight": pl.Float64} if not kinds else None)


@pytest.fixture(scope="module")
def trained_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion, version 1."""
    folder = tmp_path_factory.mktemp("monitored")
    fruit(1500).write_csv(folder / "fruit.csv")
    # A metric that falls where a class becomes rarer; of balanced classes it is not the default.
    config = {"data": {"table": "fruit.csv"}, "models": ["linear"], "metric": "average_precision"}
    train_champion(folder, COLUMNS, config)
    return folder


@pytest.fixture
def project(trained_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what monitoring needs of it, to go to."""
    copy_champion(trained_here, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def serve(project: Path) -> Made:
    """`serve(rows, name=, version=, role=, day=, without=)`: record rows as the API does."""
    predictor = BundlePredictor(Path("bundles/champion"))

    def record(
        rows: pl.DataFrame,
        name: str = "20260101T000000Z-1",
        version: str = "1",
        role: str = "champion",
        day: dt.datetime = dt.datetime(2026, 1, 1),
        without: tuple[str, ...] = (),
    ) -> pl.DataFrame:
        Path("served").mkdir(exist_ok=True)
        count = len(rows)
        kept = with_predictions(predictor, rows).drop("sweet", *without)
        probability = pl.col(PREDICTION)
        logged = kept.with_columns(
            pl.Series("__request__", [f"{name} {i // 2}" for i in range(count)]),
            pl.Series("__row__", [i % 2 for i in range(count)], pl.Int32),
            pl.Series("__time__", [day] * count, pl.Datetime("us", "UTC")),
            pl.lit(version).alias("__version__"),
            pl.lit(role).alias("__role__"),
            pl.max_horizontal(probability, 1 - probability).alias("__probability__"),
        )
        logged.write_parquet(f"served/{name}.parquet")
        return logged

    return record


@pytest.fixture
def found(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`found(*arguments)`: exit code of `monitor`, and what it prints."""

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        return main(["monitor", *arguments]), capsys.readouterr().out

    return run


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`refusal(*arguments)`: what `monitor` says when it must fail, in a line or two."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert main(["monitor", *arguments]) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert len(told.splitlines()) <= 3
        return told

    return run


Found = Callable[..., tuple[int, str]]
Refusal = Callable[..., str]


def result() -> dict[str, Any]:
    """What is kept for the API."""
    content: dict[str, Any] = json.loads(Path("served/drift.json").read_text())
    return content


def outcomes(logged: pl.DataFrame, sweet: pl.Series, **more: Any) -> pl.DataFrame:
    """Write known.csv with the outcomes; return it."""
    table = logged.select(request="__request__", row="__row__").with_columns(sweet.alias("sweet"))
    table.write_csv("known.csv")
    return table


def test_rows_like_those_fitted_on_are_no_drift(serve: Made, found: Found) -> None:
    serve(fruit(800, 1))
    code, told = found()
    assert code == 0
    assert "served: 800 rows, 2026-01-01" in told
    assert "no drift" in told
    kept = result()
    assert set(kept) == {"time", "version", "rows", "drifted", "columns", "prediction"}
    assert (kept["version"], kept["rows"], kept["drifted"]) == ("1", 800, False)
    assert set(kept["columns"]) == set(COLUMNS) - {"sweet"}
    assert max(kept["columns"].values()) < 0.1


def test_a_column_in_another_unit_is_named_first_and_ends_a_process_with_code_1(
    project: Path, serve: Made
) -> None:
    serve(fruit(800, 1).with_columns(pl.col("weight") / 28.35))
    command = [sys.executable, "-m", PACKAGE, "monitor"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    heading = next(i for i, line in enumerate(lines) if "chance, up to" in line)
    assert lines[heading + 2].startswith("weight")
    assert lines[heading + 2].endswith("broken")
    assert (
        "drift: the predictions have drifted; broken columns (distance 0.5 or more): weight"
        in done.stdout
    )
    kept = result()
    assert kept["drifted"] is True
    assert kept["prediction"] > 0.1


def test_the_report_says_what_to_do_and_needs_no_network(serve: Made, found: Found) -> None:
    serve(fruit(400, 1).with_columns(pl.lit("<b>new & odd</b>").alias("colour")))
    assert found()[0] == 1
    page = Path("data/drift.html").read_text()
    assert "Ask the source of <span class=name>colour</span>" in page
    assert "&lt;b&gt;new &amp; odd&lt;/b&gt;" in page
    assert not any(sign in page for sign in ("http", "src=", "<script", "<link", "<b>new"))


def test_half_of_the_columns_are_drift_even_where_the_predictions_hold(
    serve: Made, found: Found
) -> None:
    rows = fruit(800, 1).with_columns(
        bruised=pl.lit(True), note=pl.lit("nicht verstanden"), colour=pl.col("colour")
    )
    serve(rows)
    code, told = found("--share", "0.4")
    assert code == 1
    assert "2 of 5 columns have drifted" in told


def test_later_days_are_no_drift_and_days_before_all_others_are(serve: Made, found: Found) -> None:
    serve(fruit(400, 1).with_columns(pl.col("picked") + dt.timedelta(days=700)))
    assert found()[0] == 0
    assert result()["columns"]["picked"] == 0
    serve(fruit(400, 1).with_columns(pl.lit(dt.date(1970, 1, 1)).alias("picked")))
    assert found()[1].splitlines()[4].startswith("picked")


def test_a_column_without_any_value_is_broken(serve: Made, found: Found) -> None:
    for name in ("weight", "colour", "note", "bruised", "picked"):
        serve(fruit(300, 1).with_columns(pl.lit(None).alias(name).cast(fruit(1)[name].dtype)))
        code, told = found()
        assert code == 1
        assert f"broken columns (distance 0.5 or more): {name}" in told


def test_an_empty_text_is_a_missing_one(serve: Made, found: Found) -> None:
    serve(fruit(300, 1).with_columns(colour=pl.lit("")))
    assert "colour          1.000" in found()[1]
    assert "0% to 100%  broken" in found()[1]


@pytest.mark.parametrize(
    ("name", "spelling"), [("colour", " UNKNOWN"), ("weight", -999.0), ("note", "n/a")]
)
def test_a_spelling_of_missing_is_counted_as_the_model_got_it(
    project: Path, found: Found, request: pytest.FixtureRequest, name: str, spelling: Any
) -> None:
    bundle = project / "bundles" / "champion"
    said = {"colour": ["UNKNOWN"], "weight": ["-999"], "note": ["n/a"]}
    columns = {
        one: kind | ({"missing_values": said[one]} if one in said else {})
        for one, kind in COLUMNS.items()
    }
    columns["weight"].pop("minimum")
    (bundle / "schema.yaml").write_text(yaml.safe_dump({"columns": columns}, sort_keys=False))
    manifest = Manifest.model_validate_json((bundle / "bundle.json").read_bytes())
    write_checksums(bundle, manifest)
    rows, serve = fruit(600, 1), request.getfixturevalue("serve")
    gap = pl.int_range(pl.len()) % 10 == 0
    told = []
    for value in (None, spelling):
        serve(rows.with_columns(pl.when(gap).then(pl.lit(value)).otherwise(name).alias(name)))
        told.append(found()[1])
    assert told[0] == told[1]
    assert re.search(rf"^{name} .* to 1\d%", told[0], re.MULTILINE)


def test_one_row_is_compared_and_proves_nothing(serve: Made, found: Found) -> None:
    serve(fruit(1, 5).with_columns(pl.lit("violet").alias("colour")))
    code, told = found()
    assert code == 0
    assert "served: 1 rows" in told


def test_columns_that_the_log_leaves_out_are_printed_and_not_taken_for_missing(
    serve: Made, found: Found
) -> None:
    serve(fruit(300, 1), without=("note",))
    code, told = found()
    assert code == 0
    assert "not in the rows, so not compared: note" in told
    # In one file of two: only the rows that have it count.
    serve(fruit(300, 2), name="20260102T000000Z-1")
    assert found()[0] == 0
    assert result()["rows"] == 600
    assert "note" in result()["columns"]


def test_unfinished_and_broken_files_are_left_out(
    serve: Made, found: Found, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(fruit(300, 1))
    whole = Path("served/20260101T000000Z-1.parquet").read_bytes()
    Path("served/.20260103T000000Z-1.parquet").write_bytes(whole[:1000])
    assert main(["monitor"]) == 0
    assert capsys.readouterr().err == ""
    Path("served/20260103T000000Z-1.parquet").write_bytes(whole[:1000])
    pl.DataFrame({"x": [1]}).write_parquet("served/mine.parquet")
    assert main(["monitor"]) == 0
    told = capsys.readouterr().err
    assert "20260103T000000Z-1.parquet cannot be read and is left out" in told
    assert "mine.parquet cannot be read and is left out" in told
    assert result()["rows"] == 300


def test_other_versions_and_roles_are_left_out_and_counted(serve: Made, found: Found) -> None:
    heavy = fruit(200, 2).with_columns(pl.col("weight") * 5)
    serve(fruit(300, 1))
    serve(heavy, "20260102T000000Z-1", version="2")
    # Another contract: a column of another type, one that there was not, one that there is not.
    other = serve(heavy, "20260103T000000Z-1", version="2", role="shadow")
    other = other.drop("bruised").with_columns(pl.lit(3).alias("note"), pl.lit("x").alias("new"))
    other.write_parquet("served/20260103T000000Z-1.parquet")
    code, told = found()
    assert code == 0
    assert "200 rows predicted by version 2 are left out" in told
    assert "200 rows predicted as shadow are left out" in told


def test_the_challengers_rows_are_compared_with_its_own_bundle(
    project: Path, serve: Made, found: Found
) -> None:
    serve(fruit(300, 1))
    serve(fruit(300, 2), "20260102T000000Z-1", version="2", role="shadow")
    assert "no rows" not in found()[1]
    kept = result()
    challenger = Path("bundles/challenger/version.json")
    challenger.write_text(json.dumps({"name": "fruit", "version": "2", "alias": "challenger"}))
    code, told = found("--role", "shadow")
    assert code == 0
    assert "served: 300 rows, 2026-01-01 to 2026-01-01; version 2" in told
    assert result() == kept  # what the API shows is the champion's


def test_days_choose_from_the_log(serve: Made, found: Found, refusal: Refusal) -> None:
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    serve(fruit(300, 1), day=now - dt.timedelta(days=2))
    serve(fruit(200, 2), "20250101T000000Z-1", day=dt.datetime(2025, 1, 1))
    assert "300 rows" in found("--days", "7")[1]
    assert "200 rows of another time are left out" in found("--days", "7")[1]
    assert "200 rows" in found("--until", "2025-01-02")[1].splitlines()[0]
    assert "200 rows" in found("--since", "2025-01-01T00:00:00Z", "--until", "2025-02-01")[1]
    assert "no rows to compare; 500 rows of another time" in refusal("--until", "2025-01-01")
    assert "not both" in refusal("--days", "1", "--since", "2025-01-01")
    assert "since" in refusal("--since", "yesterday")


def test_an_empty_log_and_a_missing_one_are_mistakes(project: Path, refusal: Refusal) -> None:
    assert (
        "there is no prediction log in served; to keep one: make serve RECORD=served" in refusal()
    )
    Path("served").mkdir()
    assert "served has no rows to compare" in refusal()


def test_a_log_of_another_version_alone_is_a_mistake_that_names_it(
    serve: Made, refusal: Refusal
) -> None:
    serve(fruit(10, 1), version="3")
    told = refusal()
    assert "no rows to compare; 10 rows predicted by version 3 are left out" in told


def test_a_bundle_without_a_reference_is_a_mistake(serve: Made, refusal: Refusal) -> None:
    serve(fruit(10, 1))
    bundle = Path("bundles/champion")
    manifest = verify_bundle(bundle)
    (bundle / "reference.csv").unlink()
    write_checksums(bundle, manifest)
    assert "no reference.csv to compare with; run: make train" in refusal()


def test_outcomes_give_the_metrics_of_the_evaluation(serve: Made, found: Found) -> None:
    rows = fruit(600, 1)
    logged = serve(rows)
    known = outcomes(logged[:400], rows["sweet"][:400])
    code, told = found("--outcomes", "known.csv")
    assert code == 0
    assert "400 of 600 predictions have a known outcome" in told
    said = logged[PREDICTION].to_numpy()[:400]
    threshold = BundlePredictor(Path("bundles/champion")).manifest.threshold
    target = known["sweet"].cast(int).to_numpy()
    expected = held_out_once(
        np.arange(400), target, np.column_stack([1 - said, said]), threshold=threshold
    )
    shown = f"on 400 known outcomes: {expected.score():.3f}"
    assert f"average_precision {shown}" in told  # fmt: skip
    page = Path("data/drift.html").read_text()
    for name, value in expected.measure().items():
        assert re.search(rf"<td>{name.replace('_', ' ')}</td>\s*<td class=\"n\">{value:.3f}<", page)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["no", "yes"], {"accuracy": 0.5, "average_precision": 0.5, "precision": 0.5}),
        (["no", "often", "yes"], {"accuracy": 0.5, "f1_macro": (2 / 3 + 0) / 2}),
    ],
)
def test_outcomes_of_a_class_that_the_model_does_not_know_count_as_wrong(
    classes: list[str], expected: dict[str, float]
) -> None:
    answer = {"type": "category", "role": "target"}
    contract = Contract.model_validate({"columns": {"x": {"type": "number"}, "answer": answer}})
    manifest = Manifest(family="any", target="answer", classes=classes)
    joined = pl.DataFrame(
        {
            LABEL: ["yes"] * 100,
            PREDICTION: [0.9] * 100,
            "answer": ["yes", "never seen"] * 50,
        }
    )
    live = measure_outcomes(joined, contract, manifest)
    assert live
    assert live.rows == 100
    assert {name: live.metrics[name] for name in expected} == pytest.approx(expected)
    assert explain_new_classes(joined, contract, manifest) == [
        "50 outcome(s) count as wrong: the model does not know the class 'never seen'"
    ]
    known = joined.filter(pl.col("answer") == "yes")
    assert explain_new_classes(known, contract, manifest) == []
    perfect = measure_outcomes(known, contract, manifest)
    assert perfect
    assert perfect.metrics["accuracy"] == 1


def test_roc_auc_is_not_weighted_to_the_prevalence_of_the_test_set() -> None:
    answer = {"type": "boolean", "role": "target"}
    contract = Contract.model_validate({"columns": {"x": {"type": "number"}, "answer": answer}})
    dice = np.random.default_rng(0)
    rare = dice.random(500) < 0.1
    shares = np.clip(0.3 * rare + dice.uniform(0, 0.7, 500), 0, 1)
    joined = pl.DataFrame(
        {LABEL: [str(one > 0.5).lower() for one in shares], PREDICTION: shares, "answer": rare}
    )
    weighted = {}
    for name in ("roc_auc", "average_precision"):
        tested = {"primary": name, "prevalence": 0.5, "test": {name: 0.8}, "interval": [0.7, 0.9]}
        manifest = Manifest(
            family="any", target="answer", classes=["false", "true"], metrics=tested
        )
        live = measure_outcomes(joined, contract, manifest)
        assert live
        assert live.primary == name
        weighted[name] = live.weighted
    assert weighted["roc_auc"] is None
    assert weighted["average_precision"]
    assert weighted["average_precision"].value > 0.5


def test_a_metric_is_not_compared_with_the_interval_of_another() -> None:
    """Of more than two classes the log has no probability of each, which ROC AUC would need."""
    answer = {"type": "category", "role": "target"}
    contract = Contract.model_validate({"columns": {"x": {"type": "number"}, "answer": answer}})
    tested = {"primary": "roc_auc", "test": {"roc_auc": 0.95, "f1_macro": 0.7}}
    manifest = Manifest(
        family="any",
        target="answer",
        classes=["a", "b", "c"],
        metrics={**tested, "interval": [0.94, 0.96]},
    )
    labels = ["a", "b", "c"] * 100
    said = labels[:210] + ["a"] * 90
    joined = pl.DataFrame({LABEL: said, PREDICTION: [0.5] * 300, "answer": labels})
    live = measure_outcomes(joined, contract, manifest)
    assert live
    assert live.primary == "f1_macro"
    assert live.interval[1] < 0.94
    assert live.tested_interval is None
    assert not live.is_worse


def test_predictions_that_got_worse_are_drift_although_no_column_changed(
    serve: Made, found: Found
) -> None:
    rows = fruit(600, 1)
    logged = serve(rows)
    outcomes(logged, rows["sweet"].shuffle(seed=0))
    code, told = found("--outcomes", "known.csv")
    assert code == 1
    assert "drift: average_precision is significantly lower than on the test set" in told
    assert result()["drifted"] is True
    # Of a few outcomes nothing is concluded.
    outcomes(logged[:20], rows["sweet"].shuffle(seed=0)[:20])
    assert found("--outcomes", "known.csv")[0] == 0


def rarer(known: pl.DataFrame) -> pl.DataFrame:
    """Return the outcomes without five of six that are sweet."""
    return known.filter(~pl.col("sweet") | (pl.int_range(pl.len()) % 6 == 0))


def test_where_the_class_became_rarer_the_predictions_are_not_called_worse(
    serve: Made, found: Found
) -> None:
    rows = fruit(3000, 1)
    logged = serve(rows)
    known = rarer(outcomes(logged, rows["sweet"]))
    known.write_csv("known.csv")
    told = found("--outcomes", "known.csv")[1]
    assert "significantly lower than on the test set" not in told
    metrics = verify_bundle(Path("bundles/champion")).metrics
    then, now = metrics["prevalence"], float(known["sweet"].mean())  # type: ignore[arg-type]
    assert now < then / 2
    score = metrics["test"]["average_precision"]
    line = next(line for line in told.splitlines() if line.startswith("'true' is"))
    assert line.startswith(
        f"'true' is {now:.1%} of the outcomes and {then:.1%} of the test set, which alone changes "
        f"average_precision: weighted to {then:.1%}, it is 0."
    )
    weighted, _, high = map(float, re.findall(r"0\.\d{3}", line))
    assert high > score - 0.01
    assert weighted == pytest.approx(score, abs=0.05)
    plain = re.findall(r"known outcomes: 0\.\d+ \(95% CI 0\.\d+ to (0\.\d+)", told)
    assert float(plain[0]) < metrics["interval"][0]  # which was called worse
    assert line in Path("data/drift.html").read_text().replace("&#39;", "'")


def test_where_the_class_became_rarer_worse_predictions_are_still_found(
    serve: Made, found: Found
) -> None:
    rows = fruit(3000, 1)
    logged = serve(rows)
    rarer(outcomes(logged, rows["sweet"].shuffle(seed=0))).write_csv("known.csv")
    code, told = found("--outcomes", "known.csv")
    assert code == 1
    assert "drift: average_precision is significantly lower than on the test set" in told


def test_outcomes_of_one_class_alone_do_not_show_that_predictions_got_worse(
    serve: Made, found: Found
) -> None:
    rows = fruit(100, 1)
    logged = serve(rows)
    outcomes(logged, rows["sweet"]).filter(~pl.col("sweet")).write_csv("known.csv")
    assert "significantly lower" not in found("--outcomes", "known.csv")[1]


def test_where_rows_were_split_by_group_the_interval_of_outcomes_is_by_group(
    project: Path, found: Found, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    def grown(rows: int, seed: int, orchards: int) -> pl.DataFrame:
        dice = np.random.default_rng(seed)
        place = dice.integers(orchards, size=rows)
        late = dice.random(orchards)[place] < 0.3  # where no fruit is sweet yet
        return fruit(rows, seed).with_columns(
            pl.Series("orchard", [f"{seed}-{number}" for number in place]),
            pl.col("sweet") & ~pl.Series(late),
        )

    grown(1500, 0, 60).write_csv("fruit.csv")
    columns = {"orchard": {"type": "category", "role": "group", "nullable": False}, **COLUMNS}
    Path("schema.yaml").write_text(yaml.safe_dump({"columns": columns}, sort_keys=False))
    Path("config.yaml").write_text("data: {table: fruit.csv}\nmodels: [linear]\n")
    shutil.rmtree("bundles")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
    assert main(["train"]) == 0
    rows, serve = grown(900, 1, 25), request.getfixturevalue("serve")
    known = outcomes(serve(rows), rows["sweet"])

    told = found("--outcomes", "known.csv")[1]
    assert "the 95% CI is by row, and too narrow where rows of one orchard are alike" in told
    by_row = re.search(r"on 900 known outcomes: 0\.\d+ \(95% CI (0\.\d+) to (0\.\d+)\)", told)
    known.with_columns(rows["orchard"]).write_csv("known.csv")
    told = found("--outcomes", "known.csv")[1]
    assert "by row" not in told
    by_group = re.search(
        r"on 900 known outcomes \(25 groups of `orchard`\): 0\.\d+ "
        r"\(95% CI (0\.\d+) to (0\.\d+)\)",
        told,
    )
    assert by_row
    assert by_group
    assert float(by_group[1]) < float(by_row[1])
    assert float(by_group[2]) > float(by_row[2])
    assert "(25 groups of orchard)" in Path("data/drift.html").read_text()

    rows.write_csv("new.csv")  # a file that brings both
    assert by_group[0] in found("--file", "new.csv")[1]


def test_outcomes_are_joined_by_the_ref_that_came_with_the_rows(
    serve: Made, found: Found, refusal: Refusal
) -> None:
    rows = fruit(600, 1)
    logged = serve(rows)
    known = outcomes(logged[:400], rows["sweet"][:400])
    by_request = found("--outcomes", "known.csv")[1]
    refs = pl.Series("__ref__", [f"order {number}" for number in range(len(rows))])
    logged.with_columns(refs).write_parquet("served/20260101T000000Z-1.parquet")
    by_ref = known.select(ref=refs[:400], sweet="sweet").sample(fraction=1, shuffle=True, seed=0)
    by_ref.write_csv("known.csv")
    assert found("--outcomes", "known.csv")[1] == by_request
    pl.concat([by_ref, by_ref[:3].with_columns(ref=pl.lit("lost"))]).write_csv("known.csv")
    told = found("--outcomes", "known.csv")[1]
    assert "1 of 401 outcomes have no prediction among these rows; the first: ref 'lost'" in told
    by_ref.drop("ref").write_csv("known.csv")
    assert "or ref (which you sent with the rows)" in refusal("--outcomes", "known.csv")


def test_what_is_odd_about_outcomes_is_printed(serve: Made, found: Found) -> None:
    rows = fruit(100, 1)
    table = outcomes(serve(rows), rows["sweet"])
    again = table[:7].with_columns(~pl.col("sweet"))
    lost = table[:5].with_columns(pl.lit("never sent").alias("request"))
    open_ = table[90:].with_columns(pl.lit(None, pl.Boolean).alias("sweet"))
    pl.concat([table[:90], again, lost, open_]).write_csv("known.csv")
    told = found("--outcomes", "known.csv")[1]
    assert "10 line(s) of known.csv have no outcome yet" in told
    assert "10 outcome(s) are repeated: the last of each counts" in told  # 7, and 3 of the lost
    assert "90 of 100 predictions have a known outcome" in told
    assert (
        "2 of 92 outcomes have no prediction among these rows; the first: request 'never sent'"
        in told
    )


def test_without_a_column_row_an_outcome_is_the_first_rows(serve: Made, found: Found) -> None:
    rows = fruit(100, 1)
    table = outcomes(serve(rows), rows["sweet"])
    table.filter(row=0).drop("row").write_csv("known.csv")
    assert "50 of 100 predictions have a known outcome" in found("--outcomes", "known.csv")[1]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "there is no such file"),
        ("id,sweet\na,yes\n", "has no column 'request'"),
        ("request,taste\na,yes\n", "has no column 'sweet'"),
        ("request,row,sweet\na,first,yes\n", "row is not a whole number"),
        ("request,sweet\na,yes\nb,maybe\n", "1 value(s) not a boolean"),
        ("request,sweet\na,\nb,\n", "has no outcomes: fill in sweet"),
        ("request,sweet\n", "no rows"),
    ],
)
def test_mistakes_in_outcomes_are_named(
    serve: Made, refusal: Refusal, content: str | None, complaint: str
) -> None:
    serve(fruit(50, 1))
    if content:
        Path("known.csv").write_text(content)
    assert complaint in refusal("--outcomes", "known.csv")
    assert not Path("served/drift.json").exists()


def test_a_file_is_scored_and_compared_with_its_own_outcomes(
    project: Path, found: Found, refusal: Refusal
) -> None:
    fruit(500, 1).write_csv("new.csv")
    code, told = found("--file", "new.csv")
    assert code == 0
    assert "average_precision on 500 known outcomes" in told
    assert not Path("served").exists()
    bad = fruit(500, 1).cast(pl.String).with_columns(pl.lit("5000").alias("weight"))
    bad.drop("sweet").write_csv("new.csv")
    code, told = found("--file", "new.csv")
    assert code == 1
    assert (
        "weight: 500 value(s) above the maximum 1000, the first is '5000' (new.csv, line 2)" in told
    )
    assert "not both" in refusal("--file", "new.csv", "--part", "test")
    assert "are settings of the prediction log" in refusal("--file", "new.csv", "--days", "3")
    assert "no such file" in refusal("--file", "none.csv")


def test_prepared_parts_are_compared(
    trained_here: Path, project: Path, found: Found, refusal: Refusal
) -> None:
    assert "make prepare" in refusal("--part", "test")
    shutil.copytree(trained_here / "data", project / "data", dirs_exist_ok=True)
    code, told = found("--part", "test")
    assert code == 0
    assert "predictions     0.000" in told
    assert "has no rows to compare" in refusal("--part", "out_of_time")


@pytest.mark.parametrize("task", ["many classes", "regression"])
def test_other_tasks_are_compared_and_measured(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Found
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")

    def make(rows: int, seed: int) -> pl.DataFrame:
        dice = np.random.default_rng(seed)
        size, price = dice.normal(100, 20, rows), dice.normal(0, 10, rows)
        price = price + 3 * size
        if task == "regression":
            return pl.DataFrame({"size": size, "price": price})
        names = np.array(["cheap", "fair", "dear"])[np.digitize(price, [270, 330])]
        return pl.DataFrame({"size": size, "price": names})

    kind = "number" if task == "regression" else "category"
    price = {"type": kind, "role": "target"}
    columns = {"size": {"type": "number"}, "price": price}
    make(1200, 0).write_csv("houses.csv")
    Path("schema.yaml").write_text(yaml.safe_dump({"columns": columns}))
    Path("config.yaml").write_text("data: {table: houses.csv}\nmodels: [linear]\n")
    assert main(["train"]) == 0
    make(600, 1).write_csv("new.csv")
    code, told = found("--file", "new.csv")
    metric = "r2" if task == "regression" else "f1_macro"
    assert code == 0
    assert f"{metric} on 600 known outcomes: 0." in told
    make(600, 1).with_columns(pl.col("size") + 40).write_csv("new.csv")
    code, told = found("--file", "new.csv")
    assert code == 1
    assert f"{metric} is significantly lower than on the test set" in told
    assert "the predictions have drifted" in told
