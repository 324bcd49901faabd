"""A new version: it takes the place of the one that answers, or is refused; no request fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx2
import pytest
import yaml

from coldstart.bundle import _bundle as bundle
from coldstart.errors import UserError
from coldstart.serve._live_model import LiveModel

Change = Callable[[Path], None]
Sealed = Callable[..., Path]
Server = Callable[[Path], AbstractContextManager[httpx2.Client]]
PROMPT = 20  # seconds in which a new version must answer on a busy machine


def test_versions_change_under_load_and_no_request_fails(
    sealed: Sealed, champion: Path, small_bundle: Path, tmp_path: Path, served: Server
) -> None:
    ended = threading.Event()
    versions: list[str] = []
    failures: list[str] = []

    def ask(address: str) -> None:
        with httpx2.Client(base_url=address, timeout=20) as client:
            example = client.get("/openapi.json").json()["components"]["schemas"]["Rows"]
            while not ended.is_set():
                answer = client.post("/predict", json=example["examples"][0])
                if answer.status_code == 200:
                    versions.append(answer.json()["model_version"])
                else:
                    failures.append(answer.text)

    def wait_for(version: str) -> None:
        limit = time.monotonic() + PROMPT
        while not versions or versions[-1] != version:
            assert time.monotonic() < limit, f"version {version} never answered"
            time.sleep(0.05)

    with served(tmp_path) as client:
        askers = [threading.Thread(target=ask, args=[str(client.base_url)]) for _ in range(4)]
        for asker in askers:
            asker.start()
        try:
            wait_for("1")
            for version in ("2", "1"):  # forward, and back
                new = sealed(small_bundle, tmp_path / f"new {version}", version)
                bundle.replace_folder(new, champion)
                wait_for(version)
            ready = client.get("/health/ready").json()
        finally:
            ended.set()
            for asker in askers:
                asker.join()
    assert ready == {"status": "ready", "version": "1"}
    assert not failures
    assert set(versions) == {"1", "2"}


def other_answers(folder: Path) -> None:
    (folder / bundle.REFERENCE).write_text(
        "weight,grade,bruised,__prediction__\n100,A,false,0.999\n"
    )


def other_columns(folder: Path) -> None:
    path = folder / bundle.CONTRACT
    contract = yaml.safe_load(path.read_text())
    contract["columns"]["weight"]["maximum"] = 500
    path.write_text(yaml.safe_dump(contract, sort_keys=False))


def other_target(folder: Path) -> None:
    path = folder / bundle.MANIFEST
    path.write_text(path.read_text().replace('"sweet"', '"sour"'))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (other_answers, "predicts otherwise than when it was made"),
        (other_columns, "has another contract"),
        (other_target, "has another contract"),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused_and_the_old_one_goes_on(
    sealed: Sealed,
    champion: Path,
    small_bundle: Path,
    tmp_path: Path,
    change: Change,
    why: str,
) -> None:
    served = LiveModel(champion)
    before = served.score([served.example])
    bundle.replace_folder(sealed(small_bundle, tmp_path / "new", "2", change), champion)
    served.reload()
    assert why in served.refused
    assert served.score([served.example]) == before
    bundle.replace_folder(sealed(small_bundle, tmp_path / "sound", "3"), champion)
    served.reload()
    assert not served.refused
    assert served.version == "3"


def test_a_corrupt_bundle_is_refused_and_told(
    champion: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = LiveModel(champion)
    (champion / bundle.MODEL).write_bytes(b"no graph")
    served.reload()
    assert "model.onnx was changed" in served.refused
    assert "version 1 goes on" in caplog.text


def test_a_bundle_that_answers_otherwise_than_when_it_was_made_is_not_served(
    sealed: Sealed, small_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="predicts otherwise"):
        LiveModel(sealed(small_bundle, tmp_path / "bundle", "1", other_answers))


@pytest.mark.parametrize("slope", [1e-7, 1.0, 1e7])
def test_recorded_predictions_are_compared_in_units_of_their_spread(
    numeric: Sealed, tmp_path: Path, slope: float
) -> None:
    """Whatever the unit of the target: its negative is not the same, nor is 1% more."""
    LiveModel(numeric(tmp_path / "same", slope, recorded=slope))
    LiveModel(numeric(tmp_path / "rounded", slope, recorded=slope * 1.00001))
    for name, other in (("negative", -slope), ("more", slope * 1.01), ("nothing", 0.0)):
        with pytest.raises(UserError, match="predicts otherwise than when it was made"):
            LiveModel(numeric(tmp_path / name, other, recorded=slope))
