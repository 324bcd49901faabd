"""The model card, of models of each kind: what it says is true of the run."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from coldstart.bundle._bundle import CARD, verify_bundle
from coldstart.bundle._predictor import BundlePredictor
from coldstart.data._dataset import Dataset, load
from coldstart.model_card._reproduce import command
from coldstart.report._questions import ChampionFacts
from coldstart.report._questions import interval as interval_of
from coldstart.tracking import _registry as registry
from engine.support import PACKAGE, PREFIX, load_settings, main

Project = Callable[..., Path]
CHALLENGER = Path("bundles/challenger")
ONCE = {"cross_validate_below": 0}


@pytest.fixture
def card(small_project: Project, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`card(*arguments, columns=, table=, **config)`: the chosen model's, of such a project."""

    def write(*arguments: str, **given: object) -> str:
        small_project(**given)
        assert main(["train", *arguments]) == 0, capsys.readouterr().err
        return (CHALLENGER / CARD).read_text(encoding="utf-8")

    return write


def table(card: str, head: str) -> list[list[str]]:
    """Rows of the table whose first heading is given."""
    _, found, rest = card.partition(f"\n| {head} |")
    assert found, card
    lines = [line for line in rest.split("\n\n")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[1:]]


ODD = "no|rth`<script>"
HOUSES = {
    "size": {"type": "number"},
    "side": {"type": "category"},
    "price": {"type": "number", "role": "target", "nullable": False},
}


@pytest.fixture(scope="module")
def houses(
    tmp_path_factory: pytest.TempPathFactory, write_project: Callable[..., Path]
) -> tuple[str, Dataset, BundlePredictor]:
    """The card of prices by size, which on one side of the town have nothing to do with it."""
    dice = np.random.default_rng(0)
    size, odd = dice.uniform(50, 150, 3000), dice.random(3000) < 0.3
    price = np.where(odd, dice.uniform(500, 1500, 3000), 10 * size)
    side = np.where(odd, ODD, "south")
    table = pl.DataFrame({"size": size, "side": side, "price": price}).write_csv()
    folder = tmp_path_factory.mktemp("houses")
    write_project(folder, columns=HOUSES, table=table, models=["linear"], split=ONCE)
    with contextlib.chdir(folder):
        assert main(["train", "--tracking-uri", "sqlite:///mlflow.db"]) == 0
        card = (CHALLENGER / CARD).read_text(encoding="utf-8")
        return card, load(load_settings()), BundlePredictor(CHALLENGER)


def test_the_card_names_the_slice_where_the_model_fails_and_its_name_is_no_markup(
    houses: tuple[str, Dataset, BundlePredictor],
) -> None:
    said, dataset, predictor = houses
    name, rows, score, _, ignoring, skill = table(said, "subgroup")[0]
    assert name == r"`side` is `no\|rth'<script>`"
    tested = dataset.splits[0].test
    among = tested[(dataset.table["side"][tested] == ODD).to_numpy()]
    assert int(rows) == len(among)
    error = dataset.target(among) - predictor.predict(dataset.features(among))[:, 0]
    expected = 1 - np.mean(error**2) / np.var(dataset.target(among))
    assert float(score) == pytest.approx(expected, abs=6e-4)
    assert float(skill) < 0.2
    assert float(ignoring) < 0.1


def test_no_subgroup_is_named_by_a_personal_value(card: Callable[..., str]) -> None:
    dice = np.random.default_rng(0)
    size, side = dice.uniform(50, 150, 3000), dice.choice(["Ann Smith", "Bob Jones"], 3000)
    rows = pl.DataFrame({"size": size, "side": side, "price": 10 * size}).write_csv()
    private = HOUSES | {"side": {"type": "category", "personal": True}}
    said = card(columns=private, table=rows, models=["linear"], split=ONCE)
    assert "Ann Smith" not in said
    assert all("`size`" in one[0] for one in table(said, "subgroup"))


def test_predictions_are_compared_with_what_was_observed(
    houses: tuple[str, Dataset, BundlePredictor],
) -> None:
    said, dataset, predictor = houses
    bins = table(said, "test rows")
    tested = dataset.splits[0].test
    predicted = np.sort(predictor.predict(dataset.features(tested))[:, 0])
    assert sum(int(one[0]) for one in bins) == len(tested)
    assert float(bins[0][1]) == pytest.approx(predicted[: int(bins[0][0])].mean(), rel=1e-3)
    for _, _, was, interval in bins:
        low, high = map(float, interval.split(" to "))
        assert low <= float(was) <= high


def test_the_chosen_ones_card_holds_the_other_families_and_the_bundle_is_whole(
    card: Callable[..., str],
) -> None:
    said = card(models=["linear", "tree"])
    families = table(said, "model type")
    assert {one[0] for one in families} == {"linear", "tree"}
    assert families[0][0] == verify_bundle(CHALLENGER).family
    assert float(families[0][1]) >= float(families[1][1])
    # In the registry the bundle is whole as well, and so is the other's, whose card says where.
    for alias in (registry.CHALLENGER, registry.CHAMPION):
        assert verify_bundle(Path("bundles", alias))


def test_few_rows_and_no_time_are_said_to_be_limits(card: Callable[..., str]) -> None:
    said = card()
    assert "They are few, so cross-validation splits them 15 times" in said
    assert "No column holds the time of a row" in said
    assert "## Out-of-time set" not in said
    assert "`weight` (" not in said.partition("## Limitations")[2]  # a tenth of it is missing
    assert "- `fruit` (id): no reason given" in said


def test_rows_after_the_test_rows_are_judged_apart(card: Callable[..., str]) -> None:
    dice = np.random.default_rng(0)
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2023, 12, 31), eager=True)
    size = dice.uniform(0, 1, len(days))
    noise = np.where(days.dt.year() == 2023, 2.0, 0.05)
    price = size + dice.normal(0, noise)
    columns = {
        "day": {"type": "date", "role": "time", "nullable": False},
        "size": {"type": "number"},
        "price": {"type": "number", "role": "target", "nullable": False},
    }
    limits = {"train_until": "2021-06-01", "validate_until": "2022-01-01"}
    said = card(
        columns=columns,
        table=pl.DataFrame({"day": days, "size": size, "price": price}).write_csv(),
        models=["linear"],
        split={**limits, "test_until": "2023-01-01", **ONCE},
    )
    found = re.search(
        r"365 rows \(\d+ blocks of `day`\) are in no other part.* r2 is (\S+) .* it is ([\d.]+)",
        said,
    )
    assert found
    assert float(found[1]) < 0.2 < 0.9 < float(found[2].rstrip("."))
    assert "The rows it was fitted on end on 2021-12-31" in said
    assert table(said, "part")[-1][:4] == ["out_of_time", "365", "2023-01-01", "2023-12-31"]


def test_the_command_says_what_config_yaml_does_not(
    card: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(f"{PREFIX}SEED", "7")
    said = card("--split.train", "0.5", split=ONCE)
    (line,) = re.findall(r"```\n(.*)\n```", said)
    assert line.startswith(f"{PREFIX}SEED=7 {PREFIX}SPLIT=")
    assert line.endswith("make train MODEL=linear")
    assert "outside of git" in said

    # As make would run it, it gives the same metrics.
    monkeypatch.delenv(f"{PREFIX}SEED")
    first = json.loads((CHALLENGER / "bundle.json").read_text())
    done = subprocess.run(
        ["sh", "-c", "make() { env; }; " + line], capture_output=True, text=True, check=True
    )
    given = dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith(PREFIX))
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert main(["train", "--models", "linear"]) == 0
    second = json.loads((CHALLENGER / "bundle.json").read_text())
    assert second["metrics"]["test"] == first["metrics"]["test"]
    assert second["provenance"]["data"] == first["provenance"]["data"]


def test_a_table_that_only_the_environment_names_is_in_the_command(small_project: Project) -> None:
    small_project()
    chosen = load_settings().choices()
    Path("config.yaml").write_text("models: [linear]\n")
    made = command(["linear"], {"settings": chosen, "git_commit": "none", "package": PACKAGE})
    given = json.dumps({"table": "fruit.csv"})
    assert made == f"{PREFIX}DATA='{given}' make train MODEL=linear"


def test_where_rows_are_grouped_the_number_of_groups_is_beside_that_of_rows(
    card: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    dice = np.random.default_rng(0)
    patient = np.repeat(np.arange(80), 15)
    known = dice.normal(size=1200)
    sick = known + dice.normal(size=80)[patient] + dice.normal(size=1200) > 0
    columns = {
        "patient": {"type": "category", "role": "group", "nullable": False},
        "known": {"type": "number"},
        "sick": {"type": "boolean", "role": "target", "nullable": False},
    }
    table = pl.DataFrame({"patient": patient, "known": known, "sick": sick}).write_csv()
    said = card(columns=columns, table=table, split=ONCE)
    told = capsys.readouterr().out
    tests = len(load(load_settings()).splits[0].test) // 15
    units = f"{tests} groups of `patient`"
    assert re.search(rf"1,200 rows \(80 groups of patient\), .*{tests * 15} test \({tests}\)", told)
    assert f"the 95% CI is over {units} ({tests * 15} test rows)" in told
    assert f"{tests * 15} rows, {units}: the 95% CI is" in told
    assert "1,200 rows (80 groups of `patient`) from" in said
    assert f"On {tests * 15} test rows ({units}), roc_auc is" in said
    assert "a jackknife of these" in said
    assert f"Only {tests * 15} rows ({units}) evaluate it: treat the score as a rough" in said
    metrics = verify_bundle(CHALLENGER).metrics
    assert metrics["units"] == units
    assert interval_of(ChampionFacts(CHALLENGER)).endswith(f"; the test rows are {units}).")


def test_a_shift_between_validation_and_test_rows_is_warned_of_once_and_on_the_card(
    card: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    dice = np.random.default_rng(0)
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2023, 12, 31), eager=True)
    size = dice.uniform(0, 1, len(days))
    late = np.arange(len(days)) >= int(0.85 * len(days))
    price = np.where(late, 184, 97) + size
    columns = {
        "day": {"type": "date", "role": "time", "nullable": False},
        "size": {"type": "number"},
        "price": {"type": "number", "role": "target", "nullable": False},
    }
    table = pl.DataFrame({"day": days, "size": size, "price": price}).write_csv()
    said = card(columns=columns, table=table, models=["linear", "tree"], split=ONCE)
    told = capsys.readouterr().err
    shift = r"the mean of price is 97\.\d+ on the validation rows and 184\.\d+ on the test rows"
    warning = rf"warning: {shift}: what is best on the first need not be on the second; set the dat"
    assert len(re.findall(warning, told)) == 1, told
    assert re.search(rf"- Validation and test rows differ: {shift}\. The model was chosen on", said)
