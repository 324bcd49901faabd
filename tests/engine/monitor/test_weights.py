"""Outcomes are weighted as the test rows were, or compared with these as if none had a weight."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score

from coldstart.bundle._bundle import verify_bundle, write_checksums
from coldstart.monitor._live_metrics import WeightedScore
from engine.held_out import held_out_once
from engine.monitor.answering import answer
from engine.monitor.champion import copy_champion, train_champion
from engine.support import main

COLUMNS = {
    "size": {"type": "number", "nullable": False},
    "count": {"type": "number", "role": "weight"},
    "good": {"type": "boolean", "role": "target", "nullable": False},
}
ROWS = 600
Found = Callable[..., tuple[int, str]]


def counted(rows: int, seed: int) -> pl.DataFrame:
    """Make rows of which those that count much can be predicted, and the others cannot."""
    dice = np.random.default_rng(seed)
    size, much = dice.normal(size=rows), dice.random(rows) < 0.4
    good = np.where(much, size + 0.3 * dice.normal(size=rows) > 0.5, dice.random(rows) < 0.3)
    return pl.DataFrame({"size": size, "count": np.where(much, 20.0, 1.0), "good": good})


@pytest.fixture(scope="module")
def trained_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion whose rows have weights."""
    folder = tmp_path_factory.mktemp("weighted")
    counted(4000, 0).write_csv(folder / "goods.csv")
    config = {
        "data": {"table": "goods.csv"},
        "models": ["linear"],
        "metric": "average_precision",
        "split": {"cross_validate_below": 0},
    }
    train_champion(folder, COLUMNS, config)
    return folder


@pytest.fixture
def expected(
    trained_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[bool, float]:
    """Average precision of 600 logged rows, with and without weights; known.csv has both."""
    copy_champion(trained_here, tmp_path)
    monkeypatch.chdir(tmp_path)
    rows = counted(ROWS, 1)
    shares = [one["probabilities"]["true"] for one in answer(rows, ["size"])]
    good, weight = rows["good"].to_numpy(), rows["count"].to_numpy()
    scores = {
        True: average_precision_score(good, shares, sample_weight=weight),
        False: average_precision_score(good, shares),
    }
    assert scores[True] > scores[False] + 0.2
    return scores


@pytest.fixture
def found(capsys: pytest.CaptureFixture[str]) -> Found:
    """`found(*arguments)`: exit code of `monitor`, and what it prints."""

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        return main(["monitor", *arguments]), capsys.readouterr().out

    return run


def compared(told: str, rows: int = ROWS) -> tuple[float, float]:
    """Return the score of the outcomes, and that of the test set beside it."""
    match = re.search(
        rf"average_precision on {rows} known outcomes: (0\.\d+) \(95% CI .*\); on the test set "
        r"(0\.\d+) \(95% CI ",
        told,
    )
    assert match, told
    return float(match[1]), float(match[2])


def bundle_scores() -> dict[bool, float]:
    """Return the test score of the bundle, with and without weights."""
    metrics = verify_bundle(Path("bundles/champion")).metrics
    return {
        True: metrics["test"]["average_precision"],
        False: metrics["unweighted"]["test"]["average_precision"],
    }


@pytest.mark.parametrize("weighted", [True, False])
def test_outcomes_with_weights_and_without_are_compared_with_the_test_rows_so(
    weighted: bool, expected: dict[bool, float], found: Found
) -> None:
    known = pl.read_csv("known.csv")
    if not weighted:
        known.drop("count").write_csv("known.csv")
    code, told = found("--outcomes", "known.csv")
    then = bundle_scores()
    assert abs(then[True] - then[False]) > 0.2
    assert compared(told) == pytest.approx((expected[weighted], then[weighted]), abs=6e-4)
    assert code == 0
    line = (
        "the metrics are weighted by count, as those of the test set are"
        if weighted
        else "the outcomes have no column count, so that each counts once, as in the score of the "
        "test set beside it"
    )
    page = Path("data/drift.html").read_text()
    assert line in told
    assert line in page
    assert f'<td class="n">{expected[weighted]:.3f}<' in page

    rows = counted(ROWS, 1) if weighted else counted(ROWS, 1).drop("count")
    rows.write_csv("new.csv")  # a file that brings both
    assert compared(found("--file", "new.csv")[1]) == compared(told)


def test_the_accuracy_of_outcomes_is_weighted(expected: dict[bool, float], found: Found) -> None:
    assert found("--outcomes", "known.csv")[0] == 0
    page = Path("data/drift.html").read_text()
    shown = re.search(r'<td>accuracy</td>\s*<td class="n">(0\.\d+)</td>', page)
    known = pl.read_csv("known.csv")
    logged = pl.concat(pl.read_parquet(path) for path in Path("served").glob("*.parquet"))
    both = known.join(
        logged.with_columns(pl.col("__row__").cast(pl.Int64)),
        left_on=["request", "row"],
        right_on=["__request__", "__row__"],
    )
    correct = both["good"].cast(pl.String) == both["__label__"]
    assert shown
    assert float(shown[1]) == pytest.approx(
        np.average(correct.to_numpy(), weights=both["count"].to_numpy()), abs=6e-4
    )


def test_worse_predictions_are_found_with_weights_and_without(
    expected: dict[bool, float], found: Found
) -> None:
    mixed = pl.read_csv("known.csv").with_columns(pl.col("good").shuffle(seed=0))
    for known in (mixed, mixed.drop("count")):
        known.write_csv("known.csv")
        code, told = found("--outcomes", "known.csv")
        assert code == 1
        assert "drift: average_precision is significantly lower than on the test set" in told


def test_a_bundle_without_unweighted_scores_is_compared_with_none(
    expected: dict[bool, float], found: Found
) -> None:
    bundle = Path("bundles/champion")
    manifest = verify_bundle(bundle)
    del manifest.metrics["unweighted"]
    write_checksums(bundle, manifest)
    known = pl.read_csv("known.csv")
    known.drop("count").with_columns(pl.col("good").shuffle(seed=0)).write_csv("known.csv")
    code, told = found("--outcomes", "known.csv")
    assert code == 0
    assert "on the test set" not in told
    assert (
        "the outcomes have no column count, so that each counts once, and the bundle has no such "
        "score of the test set to compare with" in told
    )
    assert "the metrics on known outcomes are not" not in Path("data/drift.html").read_text()


def test_an_outcome_of_weight_zero_is_absent_and_one_without_a_weight_is_refused(
    expected: dict[bool, float], found: Found, refusal: Callable[..., str]
) -> None:
    known = pl.read_csv("known.csv")
    known.with_columns(
        pl.when(pl.int_range(pl.len()) < 200).then(0.0).otherwise("count").alias("count")
    ).write_csv("known.csv")
    without = found("--outcomes", "known.csv")[1]
    known[200:].write_csv("known.csv")
    assert compared(found("--outcomes", "known.csv")[1], 400) == compared(without, 400)
    for wrong in (None, -1.0):
        known.with_columns(
            pl.when(pl.int_range(pl.len()) == 7).then(wrong).otherwise("count").alias("count")
        ).write_csv("known.csv")
        told = refusal("monitor", "--outcomes", "known.csv")
        assert "count: a column with the role weight needs a value of 0 or more in each row" in told


def test_the_prevalence_that_outcomes_are_weighted_to_is_by_weight() -> None:
    dice = np.random.default_rng(0)
    target, weight = dice.integers(0, 2, 200), dice.exponential(size=200)
    shares = np.clip(0.3 * target + dice.uniform(0, 0.7, 200), 0, 1)
    held = held_out_once(
        np.arange(200),
        target,
        np.column_stack([1 - shares, shares]),
        metric="average_precision",
        sample_weight=weight,
    )
    prevalence = float(np.average(target, weights=weight))
    found = WeightedScore.of(held, "true", prevalence)
    assert found.prevalence == prevalence
    assert found.value == pytest.approx(held.score())  # they have it already
