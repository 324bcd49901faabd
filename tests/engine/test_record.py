"""The prediction log, and the challenger beside the champion."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx2
import polars as pl
import pytest
import yaml
from fastapi.testclient import TestClient

from coldstart.bundle import _bundle as bundle
from coldstart.config._sections import PredictionLogSettings, ServingSettings
from coldstart.errors import UserError
from coldstart.serve import _prediction_log as log
from coldstart.serve import open_app
from engine.support import PROJECT

ROW = {"grade": "A", "bruised": False, "weight": 120.0, "colour": "red", "picked": "2024-06-30"}
Sealed = Callable[..., Path]
Server = Callable[..., AbstractContextManager[httpx2.Client]]
Client = Callable[..., TestClient]


@pytest.fixture
def client(champion: Path) -> Client:
    """`client(**serving)`: the API of version 1, with these settings."""
    return lambda **serving: TestClient(open_app(PROJECT, champion, ServingSettings(**serving)))


def counted(api: TestClient | httpx2.Client, series: str) -> float:
    """Value of one series of the metrics."""
    lines = api.get("/metrics").text.splitlines()
    values = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(series + " ")]
    return values[0] if values else 0.0


def kept(folder: Path) -> pl.DataFrame:
    """All predictions that were kept."""
    return pl.read_parquet(folder / "*.parquet").sort("__time__", "__request__", "__row__")


def test_predictions_are_kept_with_rows_answers_version_and_time(
    client: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "served"
    with client(record=PredictionLogSettings(folder=folder)) as api:
        rows = [ROW | {"ref": "mine"}, {"grade": "B", "bruised": True}]
        answers = api.post(
            "/predict", json={"rows": rows}, headers={"X-Request-Id": "order-17"}
        ).json()["predictions"]
    table = kept(folder)
    assert table["__request__"].to_list() == ["order-17"] * 2
    assert table["__row__"].to_list() == [0, 1]
    assert table["__ref__"].to_list() == ["mine", None]
    assert "ref" not in table.columns
    assert table["__version__"].to_list() == ["1"] * 2
    assert table["__role__"].to_list() == ["champion"] * 2
    assert table["weight"].to_list() == [120.0, None]
    assert table["bruised"].to_list() == [False, True]
    assert str(table["picked"][0]) == "2024-06-30"
    assert table["__label__"].to_list() == [answer["label"] for answer in answers]
    shares = [answer["probabilities"]["true"] for answer in answers]
    assert table["__prediction__"].to_list() == shares
    assert abs(table["__time__"].dt.epoch("s")[0] - time.time()) < 60
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_columns_that_are_personal_are_not_kept(
    sealed: Sealed, champion: Path, small_bundle: Path, tmp_path: Path
) -> None:
    def mark(folder: Path) -> None:
        contract = yaml.safe_load((folder / bundle.CONTRACT).read_text())
        contract["columns"]["shop"]["personal"] = True
        (folder / bundle.CONTRACT).write_text(yaml.safe_dump(contract, sort_keys=False))

    marked = sealed(small_bundle, tmp_path / "marked", "1", mark)
    folder = tmp_path / "served"
    with TestClient(
        open_app(PROJECT, marked, ServingSettings(record=PredictionLogSettings(folder=folder)))
    ) as api:
        api.post("/predict", json={"rows": [ROW | {"shop": "Ann's"}]})
    assert "shop" not in kept(folder).columns
    assert not any(b"Ann's" in path.read_bytes() for path in folder.iterdir())


def test_a_share_of_the_requests_is_kept_and_the_oldest_make_room(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "served"
    with client(record=PredictionLogSettings(folder=folder, share=0.3)) as api:
        for _ in range(300):
            api.post("/predict", json={"rows": [ROW]})
    assert 50 <= len(kept(folder)) <= 130
    monkeypatch.setattr(log, "WRITE_SECONDS", 0.05)
    (folder / "20000101T000000-1.parquet").write_bytes(b"x" * 2_000_000)
    with client(record=PredictionLogSettings(folder=folder, megabytes=1)) as api:
        api.post("/predict", json={"rows": [ROW]})
    assert not (folder / "20000101T000000-1.parquet").exists()
    assert list(folder.glob("*.parquet"))


def test_too_many_predictions_to_keep_are_dropped_and_counted_and_all_are_answered(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MAX_WAITING", 100)
    folder = tmp_path / "served"
    with client(record=PredictionLogSettings(folder=folder)) as api:
        for _ in range(3):
            assert api.post("/predict", json={"rows": [ROW] * 60}).status_code == 200
        assert counted(api, 'api_predictions_logged_total{fate="dropped"}') >= 60
    assert len(kept(folder)) + 60 <= 180


def test_a_disk_that_cannot_be_written_to_stops_no_answer(
    client: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "served"
    with client(record=PredictionLogSettings(folder=folder)) as api:
        folder.rmdir()
        folder.write_text("not a folder any more")
        assert api.post("/predict", json={"rows": [ROW]}).status_code == 200
    assert "1 rows could not be kept" in caplog.text


@pytest.fixture
def pair(sealed: Sealed, champion: Path, small_bundle: Path) -> Path:
    """Version 1 as the champion, and version 2 as the challenger; returns the champion."""

    def lighter(folder: Path) -> None:
        manifest = bundle.Manifest.model_validate_json((folder / bundle.MANIFEST).read_bytes())
        manifest.threshold = 0.99
        (folder / bundle.MANIFEST).write_text(manifest.model_dump_json())

    sealed(small_bundle, champion.with_name("challenger"), "2", lighter)
    return champion


def test_a_canary_answers_its_share_and_the_same_id_gets_the_same_model(pair: Path) -> None:
    with TestClient(open_app(PROJECT, pair, ServingSettings(canary=0.3))) as api:

        def version(request: str) -> str:
            headers = {"X-Request-Id": request}
            answer = api.post("/predict", json={"rows": [ROW]}, headers=headers).json()
            return str(answer["model_version"])

        versions = [version(f"r{number}") for number in range(300)]
        assert 50 <= versions.count("2") <= 130
        assert versions == [version(f"r{number}") for number in range(300)]
        assert api.get("/health/ready").json()["challenger"] == "2"
        rows = counted(api, 'api_rows_total{role="challenger",version="2"}')
        assert rows == 2 * versions.count("2")


def test_a_shadow_is_asked_and_recorded_and_never_answers(pair: Path, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    choice = ServingSettings(shadow=True, record=PredictionLogSettings(folder=folder))
    with TestClient(open_app(PROJECT, pair, choice)) as api:
        for weight in range(60, 240, 3):
            answer = api.post("/predict", json={"rows": [ROW | {"weight": weight}]}).json()
            assert answer["model_version"] == "1"
    table = kept(folder)
    said = table.filter(pl.col("__role__") == "champion")
    shadow = table.filter(pl.col("__role__") == "shadow")
    assert set(shadow["__version__"]) == {"2"}
    assert sorted(shadow["__request__"]) == sorted(said["__request__"])
    both = said.join(shadow, on=["__request__", "__row__"])
    assert (both["__prediction__"] - both["__prediction___right"]).abs().max() < 1e-9
    assert (both["__label__"] != both["__label___right"]).any()


def test_a_challenger_that_does_not_fit_is_told_at_the_start(
    sealed: Sealed, pair: Path, small_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="challenger is not a bundle"):
        open_app(
            PROJECT,
            sealed(small_bundle, tmp_path / "alone" / "champion", "1"),
            ServingSettings(canary=0.5),
        )
    with pytest.raises(ValueError, match=r"set record\.folder as well"):
        ServingSettings(shadow=True)


def test_the_promoted_challenger_is_no_canary_any_more(
    sealed: Sealed, pair: Path, small_bundle: Path
) -> None:
    with TestClient(open_app(PROJECT, pair, ServingSettings(canary=0.5))) as api:
        bundle.replace_folder(sealed(small_bundle, pair.with_name("new"), "2"), pair)
        limit = time.monotonic() + 20
        while api.get("/health/ready").json()["version"] != "2" and time.monotonic() < limit:
            time.sleep(0.1)
        for _ in range(20):
            api.post("/predict", json={"rows": [ROW]})
        assert counted(api, 'api_rows_total{role="champion",version="2"}') == 20
