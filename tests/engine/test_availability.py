"""Columns that may not be available at prediction time: both scores are shown until they are."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from coldstart.bundle._bundle import TESTED, verify_bundle
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract._contract import Contract
from coldstart.data._dataset import load
from coldstart.report._results import EvaluatedVersion, conclusion
from coldstart.serve.page._bundle_files import about
from coldstart.tracking._tested import read_tested
from engine.support import load_settings, main

COLUMNS = {
    "size": {"type": "number"},
    "fee": {"type": "number", "available": "unconfirmed"},
    "kind": {"type": "category"},
    "price": {"type": "number", "role": "target"},
}


def houses(rows: int = 300) -> str:
    """A price that the size tells in part, and a fee that is computed from the price."""
    dice = random.Random(0)
    lines = ["size,fee,kind,price"]
    for _ in range(rows):
        size = dice.uniform(50, 200)
        price = 1000 * size + dice.gauss(0, 40_000)
        fee = 0.03 * price + dice.gauss(0, 300)
        lines.append(f"{size:.1f},{fee:.2f},{dice.choice('ab')},{price:.0f}")
    return "\n".join(lines) + "\n"


def change(name: str, **settings: object) -> None:
    """Change a column of schema.yaml."""
    path = Path("schema.yaml")
    content = yaml.safe_load(path.read_text())
    content["columns"][name] |= settings
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def trained(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["train"]) == 0
    return capsys.readouterr().out


def test_a_score_is_told_with_and_without_what_nobody_confirmed(
    small_project: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    small_project(columns=COLUMNS, table=houses(), split={"cross_validate_below": 0})
    told = trained(capsys)
    folder = Path("bundles/champion")
    metrics = verify_bundle(folder).metrics
    confirmed = metrics["confirmed"]
    assert confirmed["without"] == ["fee"]
    assert metrics["test"]["r2"] > 0.95
    assert confirmed["test"]["r2"] < 0.75
    clause = f", r2 is {confirmed['test']['r2']:.3f}: nobody has confirmed that it is available"
    assert f"without fee{clause}" in told
    assert "there was no champion; without fee, r2" in told  # the promotion says it again
    assert f"Without `fee`{clause}" in (folder / "MODEL_CARD.md").read_text()
    assert about(BundlePredictor(folder), [], "")["confirmed"].startswith("without fee, r2 is ")
    tested = read_tested(folder / TESTED, load(load_settings()))
    version = EvaluatedVersion(verify_bundle(folder), tested)
    assert f"Without `fee`{clause}" in conclusion({"1": version}, "1", 45)  # README and story

    # It is the score of a model that has never had the column.
    change("fee", role="ignore")
    trained(capsys)
    alone = verify_bundle(Path("bundles/challenger")).metrics
    assert alone["test"] == pytest.approx(confirmed["test"])
    assert "confirmed" not in alone


@pytest.mark.parametrize(("when", "feature"), [("before", True), ("with", False), ("after", False)])
def test_what_is_confirmed_is_a_feature_or_none_and_is_told_no_more(
    small_project: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    when: str,
    feature: bool,
) -> None:
    small_project(columns=COLUMNS, table=houses(), split={"cross_validate_below": 0})
    change("fee", available=when)
    assert "confirmed" not in trained(capsys)
    card = Path("bundles/challenger/MODEL_CARD.md").read_text()
    assert ("fee" in Contract.load(Path("schema.yaml")).features) == feature
    assert ("`fee` (feature): available" in card) == (not feature)
    assert ("fee" in load(load_settings()).table.columns) == feature


def test_where_nothing_is_confirmed_the_other_score_is_that_of_the_dummy_baseline(
    small_project: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    small_project(columns=COLUMNS, table=houses(), split={"cross_validate_below": 0})
    for name in ("size", "kind"):
        change(name, available="unconfirmed")
    trained(capsys)
    metrics = verify_bundle(Path("bundles/challenger")).metrics
    assert metrics["confirmed"] == {
        "without": ["size", "fee", "kind"],
        "test": metrics["baseline"],
    }
