"""A checkpoint that is broken stops no training, and one within an epoch changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bird_strikes.network import train_network

from coldstart.config._sections import NeuralSettings
from coldstart.nn import _checkpoints as checkpoints
from coldstart.nn._batches import InMemory
from coldstart.nn._job import TrainingJob, launch, report_nothing


def job(folder: Path, epochs: int = 4, **settings: Any) -> TrainingJob:
    """Train a small network with dropout, of 7 steps an epoch."""
    dice = np.random.default_rng(0)
    inputs = torch.tensor(dice.normal(size=(200, 3)), dtype=torch.float32)
    return TrainingJob(
        stage="fit",
        shape=(3, [], 2),
        settings=NeuralSettings.model_validate(
            {"batch_size": 32, "accelerator": "cpu", **settings}
        ),
        seed=1,
        epochs=epochs,
        train=InMemory(inputs, (inputs[:, 0] * inputs[:, 1] > 0).long()),
        held_out=None,
        checkpoint=folder / "x.ckpt",
        report=report_nothing,
    )


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    """Whether weights are the same to the last bit."""
    return all(np.array_equal(found[name], values) for name, values in expected.items())


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, np.ndarray]:
    """Weights of a training that nothing happened to."""
    folder = tmp_path / "expected"
    folder.mkdir()
    return launch(train_network, job(folder))[0]


def test_cut_off_within_an_epoch_it_ends_in_the_same_weights(
    tmp_path: Path, expected: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []
    write = checkpoints.write

    def write_some(path: Path, state: dict[str, Any]) -> None:
        if len(kept) == 10:
            raise KeyboardInterrupt
        write(path, state)
        kept.append(state["progress"]["step"])

    monkeypatch.setattr(checkpoints, "write", write_some)
    with pytest.raises(KeyboardInterrupt):
        launch(train_network, job(tmp_path, checkpoint_seconds=0))
    assert kept == [1, 2, 3, 4, 5, 6, 7, 0, 1, 2]
    monkeypatch.setattr(checkpoints, "write", write)
    assert same(launch(train_network, job(tmp_path))[0], expected)


def cut(whole: bytes) -> bytes:
    """Lose the second half."""
    return whole[: len(whole) // 2]


def flip(whole: bytes) -> bytes:
    """Change a bit of a weight, which leaves a file that torch would read."""
    place = len(whole) // 3
    return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]


@pytest.mark.parametrize("broken", [cut, flip, lambda _: b"", lambda _: b"garbage" * 1000])
def test_a_broken_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path,
    expected: dict[str, np.ndarray],
    broken: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    launch(train_network, job(tmp_path, epochs=3, checkpoint_seconds=0))
    newest = tmp_path / "x.ckpt"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "expected",
        "x.before.ckpt",
        "x.ckpt",
    ]
    newest.write_bytes(broken(newest.read_bytes()))
    found = checkpoints.read(newest)
    assert found
    assert len(found["progress"]["history"]) == 3  # the end of the last epoch, before the last save
    assert "x.ckpt is passed over, as it cannot be read" in capsys.readouterr().err
    assert same(launch(train_network, job(tmp_path))[0], expected)


def test_where_all_checkpoints_are_broken_it_begins_anew(
    tmp_path: Path, expected: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("x.ckpt", "x.before.ckpt", "x.unfinished"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 of nothing")
    assert same(launch(train_network, job(tmp_path))[0], expected)
    assert capsys.readouterr().err.count("is passed over") == 2
