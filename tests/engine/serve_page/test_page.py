"""The page's requests, of real models: contributions, examples, keys, a new bundle."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import random
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
from bird_strikes.app import create_app
from fastapi.testclient import TestClient

from coldstart.bundle._bundle import Manifest, verify_bundle, write_checksums
from coldstart.bundle._predictor import BundlePredictor
from coldstart.config._sections import PredictionLogSettings, ServingSettings
from coldstart.serve import ModelService, open_app
from coldstart.serve._access import new_key
from coldstart.serve._live_model import LiveModel, example, reference_rows
from coldstart.serve.page._explanations import ROWS
from coldstart.serve.page._routes import STATIC
from engine.support import PROJECT, main

FEATURES: dict[str, dict[str, Any]] = {
    "weight": {"type": "number", "minimum": 0, "maximum": 1000, "unit": "g"},
    "colour": {"type": "category"},
    "grade": {"type": "category", "categories": ["A", "B"], "unseen": "refuse", "nullable": False},
    "bruised": {"type": "boolean"},
    "picked": {"type": "date"},
    "note": {"type": "text"},
}
TARGETS: dict[str, dict[str, Any]] = {
    "two classes": {"type": "boolean"},
    "many classes": {"type": "category"},
    "regression": {"type": "number", "unit": "g"},
}
WORDS = ("from", "north", "field", "ripe", "soft", "early")


def fruit(rows: int, task: str) -> pl.DataFrame:
    """Heavy and red fruit are sweet; some values are missing."""
    dice = random.Random(0)
    table = []
    for _ in range(rows):
        weight, colour = dice.gauss(150, 30), dice.choice(["red", "green", "blue"])
        sugar = weight + 40 * (colour == "red") + dice.gauss(0, 20)
        many = "dry" if sugar < 140 else "sweet" if sugar > 190 else "fair"
        table.append(
            {
                "weight": None if dice.random() < 0.1 else abs(weight),
                "colour": colour,
                "grade": dice.choice("AB"),
                "bruised": None if dice.random() < 0.1 else dice.random() < 0.3,
                "picked": dt.date(2024, 1, 1) + dt.timedelta(dice.randrange(300)),
                "note": " ".join(dice.choices(WORDS, k=3)),
                "sweet": {"two classes": sugar > 190, "many classes": many}.get(task, sugar),
            }
        )
    return pl.DataFrame(table)


def sales(rows: int) -> pl.DataFrame:
    """A series that rises and has seasons."""
    dice = random.Random(0)
    days = [dt.date(2020, 1, 1) + dt.timedelta(day) for day in range(rows)]
    level = [100 + day / 5 + 20 * (day % 7 > 4) + dice.gauss(0, 3) for day in range(rows)]
    return pl.DataFrame({"day": days, "sold": level})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`bundle(task)`: the champion of a real training. Tests must not change it."""
    made = dict[str, Path]()

    def make(task: str) -> Path:
        if task in made:
            return made[task]
        folder = tmp_path_factory.mktemp("page")
        if task == "forecast":
            table, lag = sales(700), {"type": "number", "lag_of": "sold"}
            columns = {
                "day": {"type": "date", "role": "time", "calendar": True, "nullable": False},
                "sold": {"type": "number", "role": "target", "nullable": False, "season": 7},
                "yesterday": {**lag, "steps": 1},
                "a_week_ago": {**lag, "steps": 7},
            }
        else:
            table = fruit(1500, task)
            columns = {**FEATURES, "sweet": {**TARGETS[task], "role": "target", "nullable": False}}
        table.write_csv(folder / "table.csv")
        config = {"data": {"table": "table.csv"}, "models": ["linear"]}
        config["split"] = {"cross_validate_below": 0}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "schema.yaml").write_text(yaml.safe_dump({"columns": columns}, sort_keys=False))
        with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
            assert main(["train"]) == 0
        made[task] = folder / "bundles" / "champion"
        return made[task]

    return make


@pytest.fixture
def changed(bundle: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """`changed(change)`: a copy of the bundle of two classes, changed and sealed again."""

    def make(change: Callable[[Path], object] = lambda _: None) -> Path:
        folder = tmp_path / "bundles" / "champion"
        shutil.copytree(bundle("two classes"), folder)
        change(folder)
        write_checksums(folder, Manifest.model_validate_json((folder / "bundle.json").read_bytes()))
        return folder

    return make


def client(folder: Path, **serving: Any) -> TestClient:
    return TestClient(open_app(PROJECT, folder, ServingSettings(**serving)))


def asked(api: TestClient) -> dict[str, Any]:
    """What the page fills its form with."""
    row: dict[str, Any] = api.get("/page/about").json()["example"]
    return row


@pytest.mark.parametrize("task", [*TARGETS, "forecast"])
def test_a_contribution_is_the_difference_to_the_mean_over_the_reference_rows(
    task: str, bundle: Callable[[str], Path]
) -> None:
    api, predictor = client(bundle(task)), BundlePredictor(bundle(task))
    row, others = asked(api), [one for one, _ in reference_rows(predictor)]
    explanation = api.post("/page/explain", json=row).json()
    response = api.post("/predict", json={"rows": [row]}).json()
    (prediction,) = response["predictions"]
    assert explanation["model_version"] == response["model_version"] == "1"
    assert explanation["prediction"].get("label") == prediction.get("label")

    def value(answer: dict[str, Any]) -> float:
        if not predictor.manifest.classes:
            return float(answer["value"])
        return float(answer["probabilities"][explanation["subject"]])

    if task == "two classes":
        assert explanation["subject"] == "true"
    if task == "many classes":
        assert explanation["subject"] == prediction["label"]
    for answer in (prediction, explanation["prediction"]):
        assert explanation["value"] == pytest.approx(value(answer), rel=1e-5)
    typed = reference_row(predictor, row)
    assert list(explanation["contributions"]["by_feature"]) == list(predictor.contract.features)
    assert explanation["contributions"]["rows"] == ROWS
    for name, by in explanation["contributions"]["by_feature"].items():
        replaced = predictor.score([typed | {name: other.get(name)} for other in others[:ROWS]])
        mean = float(np.mean([value(one) for one in replaced]))
        assert by == pytest.approx(value(prediction) - mean, abs=1e-4 * max(1, abs(mean))), name
    strongest = "yesterday" if task == "forecast" else "weight"
    assert explanation["contributions"]["by_feature"][strongest] != 0
    values = np.array([value(one) for one in predictor.score(others)])
    among = explanation["reference"]
    assert among["rows"] == sum(among["counts"]) == len(others)
    assert among["mean"] == pytest.approx(values.mean(), rel=1e-4)
    assert among["below"] == pytest.approx(np.mean(values < explanation["value"]), abs=0.01)


def reference_row(predictor: BundlePredictor, row: dict[str, Any]) -> dict[str, Any]:
    """The typed row of the reference that the page took as its example."""
    dated = {name: value for name, value in row.items() if value is not None}
    for one, _ in reference_rows(predictor):
        if json.loads(json.dumps(one, default=str)) == dated:
            return one
    pytest.fail("the example is no row of the reference")


def test_the_page_is_told_a_control_for_each_feature_with_its_limits_and_choices(
    bundle: Callable[[str], Path],
) -> None:
    about = client(bundle("two classes")).get("/page/about").json()
    columns = {column["name"]: column for column in about["columns"]}
    kinds = {name: column["kind"] for name, column in columns.items()}
    assert kinds == {
        "weight": "number",
        "colour": "choice",
        "grade": "choice",
        "bruised": "boolean",
        "picked": "date",
        "note": "text",
    }
    script = (STATIC / "form.js").read_text()
    assert all(f"\n  {kind}(" in script for kind in kinds.values())
    weight = columns["weight"]
    assert (weight["minimum"], weight["maximum"], weight["unit"]) == (0, 1000, "g")
    assert (weight["stops"][0], weight["stops"][-1]) == (0, 1000)
    assert weight["stops"] == sorted(weight["stops"])
    assert all(stop == float(f"{stop:.5g}") for stop in weight["stops"])  # legible
    assert sorted(columns["colour"]["choices"]) == ["blue", "green", "red"]  # seen, not listed
    assert columns["colour"]["free"]
    assert (columns["grade"]["choices"], columns["grade"]["free"]) == (["A", "B"], False)
    assert [name for name, column in columns.items() if not column["nullable"]] == ["grade"]


@pytest.mark.parametrize("task", [*TARGETS, "forecast"])
def test_the_examples_are_rows_that_the_api_predicts_as_recorded(
    task: str, bundle: Callable[[str], Path]
) -> None:
    api = client(bundle(task))
    cases = {case["kind"]: case for case in api.get("/page/about").json()["examples"]}
    kinds = {"correct", "incorrect", "uncertain"}
    if "classes" not in task:
        kinds = {"smallest_error", "largest_error", "median_error"}
    assert set(cases) == kinds
    for case in cases.values():
        explanation = api.post("/page/explain", json=case["row"])
        assert explanation.status_code == 200, explanation.text
        prediction = explanation.json()["prediction"]
        for name, value in case["prediction"].items():
            assert prediction[name] == (
                value if name == "label" else pytest.approx(value, rel=1e-3, abs=1e-4)
            )
    if "classes" in task:
        assert cases["correct"]["prediction"]["label"] == cases["correct"]["outcome"]
        assert cases["incorrect"]["prediction"]["label"] != cases["incorrect"]["outcome"]
    else:
        errors = {
            kind: abs(case["prediction"]["value"] - case["outcome"]) for kind, case in cases.items()
        }
        assert errors["smallest_error"] < errors["median_error"] < errors["largest_error"]


def test_the_uncertain_case_is_the_nearest_to_the_threshold(bundle: Callable[[str], Path]) -> None:
    folder = bundle("two classes")
    manifest, tested = verify_bundle(folder), pl.read_csv(folder / "tested.csv")
    nearest = float((tested["prediction 1"] - manifest.threshold).abs().min())  # type: ignore[arg-type]
    case = json.loads((folder / "examples.json").read_text())[2]
    probability = case["prediction"]["probability"]
    positive = probability if case["prediction"]["label"] == "true" else 1 - probability
    assert manifest.threshold is not None
    assert abs(positive - manifest.threshold) == pytest.approx(nearest, abs=1e-5)


def test_where_a_feature_is_personal_no_row_is_shown(
    changed: Callable[..., Path],
) -> None:
    def mark(folder: Path) -> None:
        path = folder / "schema.yaml"
        contract = yaml.safe_load(path.read_text())
        contract["columns"]["colour"]["personal"] = True
        path.write_text(yaml.safe_dump(contract, sort_keys=False))

    about = client(changed(mark)).get("/page/about").json()
    assert about["examples"] == []
    columns = {column["name"]: column for column in about["columns"]}
    assert columns["colour"]["choices"] == []
    assert about["example"]["colour"] == "text"


def test_a_row_that_breaks_the_contract_gets_the_apis_own_words(
    bundle: Callable[[str], Path],
) -> None:
    api = client(bundle("two classes"))
    row = asked(api) | {"weight": 5000, "grade": None}
    own = api.post("/predict", json={"rows": [row]}).json()["detail"]
    explanation = api.post("/page/explain", json=row)
    assert explanation.status_code == 422
    assert [(one["loc"][-1], one["msg"]) for one in explanation.json()["detail"]] == [
        (one["loc"][-1], one["msg"]) for one in own
    ]


def test_a_bundle_of_before_without_reference_cases_and_card_is_answered(
    changed: Callable[..., Path],
) -> None:
    def strip(folder: Path) -> None:
        for pattern in ("reference.csv", "examples.json", "MODEL_CARD.md", "*.png"):
            for path in folder.glob(pattern):
                path.unlink()

    folder = changed(strip)
    api = client(folder)
    about = api.get("/page/about").json()
    assert (about["examples"], about["plots"]) == ([], [])
    assert about["example"] == json.loads(json.dumps(example(BundlePredictor(folder)), default=str))
    explanation = api.post("/page/explain", json=about["example"]).json()
    assert set(explanation) == {"prediction", "model_version", "fingerprint", "subject", "value"}
    assert "no model card" in api.get("/page/card").text


def test_the_card_is_html_in_which_nothing_of_the_bundle_is_a_tag(
    changed: Callable[..., Path],
) -> None:
    card = "# Model\n\n<script>1</script>\n\n| a | b |\n|---|--:|\n| 1 | [x](javascript:1) |\n"
    api = client(changed(lambda folder: (folder / "MODEL_CARD.md").write_text(card)))
    page = api.get("/page/card").text
    assert "<h2>Model</h2>" in page
    assert "<td>1</td>" in page
    assert not any(sign in page for sign in ("<script", "style=", "href="))


def test_plots_are_those_that_the_bundle_was_sealed_with(changed: Callable[..., Path]) -> None:
    folder = changed(lambda folder: (folder / "calibration.png").write_bytes(b"a plot"))
    (folder / "later.png").write_bytes(b"another")
    api = client(folder)
    about = api.get("/page/about").json()
    assert about["plots"] == ["calibration.png", "importance.png", "ranking.png"]
    plot = api.get(f"/page/plots/{about['fingerprint']}/calibration.png")
    assert (plot.content, plot.headers["content-type"]) == (b"a plot", "image/png")
    assert "max-age=31536000" in plot.headers["cache-control"]
    assert len(plot.headers.get_list("cache-control")) == 1
    for other in ("later.png", "model.onnx", "..%2Fchampion%2Fcalibration.png"):
        assert api.get(f"/page/plots/{about['fingerprint']}/{other}").status_code == 404
    (folder / "calibration.png").write_bytes(b"changed")
    assert api.get(f"/page/plots/{about['fingerprint']}/calibration.png").status_code == 404


def test_the_page_shows_the_model_of_now(changed: Callable[..., Path]) -> None:
    folder = changed(lambda folder: (folder / "old.png").write_bytes(b"old"))
    served = LiveModel(folder)
    api = TestClient(create_app(ModelService(served, ServingSettings())))
    before = api.get("/page/about").json()
    assert (
        api.post("/page/explain", json=before["example"]).json()["fingerprint"]
        == before["fingerprint"]
    )

    (folder / "old.png").rename(folder / "new.png")
    (folder / "MODEL_CARD.md").write_text("# The second\n")
    write_checksums(folder, Manifest.model_validate_json((folder / "bundle.json").read_bytes()))
    assert "no model card" in api.get("/page/card").text  # it is not that of the model of now
    served.reload()
    after = api.get("/page/about").json()
    both = ({*before["plots"]}, {*after["plots"]})
    assert (both[0] - both[1], both[1] - both[0]) == ({"old.png"}, {"new.png"})
    assert "The second" in api.get("/page/card").text
    assert (
        api.post("/page/explain", json=before["example"]).json()["fingerprint"]
        == after["fingerprint"]
    )
    assert api.get(f"/page/plots/{before['fingerprint']}/old.png").status_code == 404


def test_where_keys_are_needed_the_page_opens_and_what_it_asks_for_needs_one(
    bundle: Callable[[str], Path], tmp_path: Path
) -> None:
    key = new_key(tmp_path / "keys.txt", "ann")
    api = client(bundle("two classes"), keys=tmp_path / "keys.txt")
    names = [file.name for file in STATIC.iterdir() if file.suffix != ".html"]
    for path in ("/", *(f"/page/{name}" for name in names)):
        opened = api.get(path)
        assert opened.status_code == 200, path
        assert opened.headers["content-security-policy"].startswith("default-src 'self'")
    closed = ("about", "card", "plots/x/y.png", "none")
    assert [api.get(f"/page/{path}").status_code for path in closed] == [401] * len(closed)
    assert api.post("/page/explain", json={}).status_code == 401
    bearer = {"Authorization": f"Bearer {key}"}
    row = api.get("/page/about", headers=bearer).json()["example"]
    assert api.post("/page/explain", json=row, headers=bearer).status_code == 200


def test_the_page_is_closed_with_the_documentation(bundle: Callable[[str], Path]) -> None:
    api = client(bundle("two classes"), docs=False)
    assert api.get("/").status_code == api.get("/page/about").status_code == 404
    assert api.post("/page/explain", json={}).status_code == 404


def test_what_the_page_asks_is_not_recorded(bundle: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "served"
    app = open_app(
        PROJECT, bundle("two classes"), ServingSettings(record=PredictionLogSettings(folder=folder))
    )
    with TestClient(app) as api:
        row = asked(api)
        assert api.post("/page/explain", json=row).status_code == 200
        assert api.post("/predict", json={"rows": [row] * 3}).status_code == 200
        counted = api.get("/metrics").text
    assert pl.read_parquet(folder / "*.parquet").height == 3
    assert 'api_rows_total{role="champion",version="1"} 3.0' in counted
    assert 'path="/page/explain",status="200"} 1.0' in counted


def test_the_page_makes_serving_import_nothing_heavy(bundle: Callable[[str], Path]) -> None:
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from bird_strikes.__main__ import PROJECT\n"
        "from coldstart.serve import create_app\n"
        "app = create_app(PROJECT, Path(sys.argv[1]))\n"
        "assert '/page/explain' in {getattr(route, 'path', None) for route in app.routes}\n"
        "print([name for name in ('torch', 'sklearn', 'polars', 'mlflow', 'markdown_it')"
        " if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", script, str(bundle("two classes"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
