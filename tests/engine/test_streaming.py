"""The network learns from all rows of Parquet, streamed, but from none that judges it."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from bird_strikes.models import FAMILIES
from bird_strikes.network import Network, train_network
from sklearn.compose import ColumnTransformer
from sklearn.metrics import average_precision_score

from coldstart.config._sections import NeuralSettings
from coldstart.config._settings import Settings
from coldstart.data import _shards as shards
from coldstart.data._dataset import Dataset, prepare
from coldstart.data._shards import Shards
from coldstart.data.reading._row_groups import RowGroup
from coldstart.errors import UserError
from coldstart.nn import _batches as batches
from coldstart.nn._estimator import NeuralNetwork
from coldstart.nn._job import TrainingJob, launch, report_nothing
from coldstart.train._features import as_frame
from coldstart.train._fitting import Fitter
from engine.support import load_settings

ROWS = 6_000
COLUMNS: dict[str, dict[str, Any]] = {
    "number": {"type": "number", "role": "id"},
    "size": {"type": "number"},
    "weight": {"type": "number"},
    "kind": {"type": "category"},
    "day": {"type": "date", "role": "ignore", "nullable": False},
    "shop": {"type": "category", "role": "ignore", "nullable": False},
    "sold": {"type": "boolean", "role": "target"},
}


def goods(few: bool = False) -> pl.DataFrame:
    """Make a table; with few values, many rows are the same by coincidence."""
    dice = np.random.default_rng(0)
    size, weight = dice.normal(size=(2, ROWS)).round(0 if few else 6)
    sold: list[bool | None] = (size * weight + dice.normal(0, 0.3, ROWS) > 0).tolist()
    sold[::100] = [None] * (ROWS // 100)  # they teach nothing
    days = dice.integers(0, 1 if few else 300, ROWS)
    return pl.DataFrame(
        {
            "number": np.arange(ROWS),
            "size": size,
            "weight": weight,
            "kind": dice.choice(["a", "b", "c"], ROWS),
            "day": [dt.date(2024, 1, 1) + dt.timedelta(int(day)) for day in days],
            "shop": dice.choice([f"shop {i}" for i in range(1 if few else 200)], ROWS),
            "sold": sold,
        }
    )


Project = Callable[..., Settings]


@pytest.fixture
def project(small_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Project:
    """`project(table, roles=, **config)`: in three files, of row groups of several sizes."""
    monkeypatch.setattr(shards, "SLICE", 100)

    def write(table: pl.DataFrame, roles: dict[str, str] = {}, **config: Any) -> Settings:  # noqa: B006
        columns = {
            name: {**column, "role": roles.get(name, column.get("role", "feature"))}
            for name, column in COLUMNS.items()
        }
        neural = {"stream": True, **config.pop("neural", {})}
        config = {"data": {"table": "goods/*.parquet"}, "training_rows": 2_000} | config
        folder = small_project(columns, neural=neural, **config)
        (folder / "goods").mkdir()
        third = len(table) // 3
        for i, rows in enumerate((700, 450, 999)):
            part = table[i * third : (i + 1) * third]
            part.write_parquet(folder / "goods" / f"{i}.parquet", row_group_size=rows)
        return load_settings()

    return write


def numbers_of(found: Shards, ranks: int = 1, epoch: int = 1) -> list[list[int]]:
    """Numbers of the rows that each rank reads."""
    read = []
    for rank in range(ranks):
        pieces = found.plan(0, epoch, rank, ranks)
        read.append([row for rows in found.read(pieces) for row in rows[shards.ROW].to_list()])
    return read


def parts(dataset: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that are learned from, places of those that decide when to stop, rows that judge."""
    learned = dataset.splits[0].train
    judging = np.setdiff1d(np.arange(len(dataset.table)), learned)
    return learned, np.arange(len(learned) * 85 // 100, len(learned)), judging


@pytest.mark.parametrize("how", ["at random", "copies", "coincidence", "group", "time"])
def test_streamed_are_all_rows_but_those_held_out_by_the_rule_of_the_split(
    how: str, project: Project
) -> None:
    table = goods(few=how == "coincidence")
    if how == "copies":  # each row is there twice, far from each other
        half = table[: ROWS // 2]
        table = pl.concat([half, half.with_columns(pl.col("number") + ROWS // 2)])
    roles = {"group": {"shop": "group"}, "time": {"day": "time"}}.get(how, {})
    settings = project(table, roles)
    dataset = prepare(settings)
    assert dataset.row_ids is not None
    assert len(dataset.table) == 2_000
    learned, stops, judging = parts(dataset)
    rows = dataset.row_ids[shards.ROW].to_numpy()
    found = Shards.of(settings.data, dataset, learned, stops)
    (read,) = numbers_of(found)

    table = table.drop_nulls("sold")
    held = table.filter(pl.col("number").is_in(rows[np.concatenate([judging, learned[stops]])]))
    judges = table.filter(pl.col("number").is_in(rows[judging]))
    if how == "time":
        expected = table.filter(pl.col("day") < held["day"].min())
        assert expected["day"].max() < judges["day"].min()
    elif how == "group":
        expected = table.join(judges, on="shop", how="anti").join(held, on="number", how="anti")
    elif how == "coincidence":
        expected = table.join(held, on="number", how="anti")
    else:
        same = [name for name in table.columns if name != "number"]
        expected = table.join(held, on=same, how="anti")
    assert sorted(read) == sorted(expected["number"].to_list())
    assert len(read) > 1.2 * len(learned)
    assert sum(found.counts) == len(read)


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_rows_of_an_epoch_out_with_equally_many_batches_each(
    ranks: int, project: Project
) -> None:
    settings = project(goods())
    dataset = prepare(settings)
    learned, stops, _ = parts(dataset)
    found = Shards.of(settings.data, dataset, learned, stops)
    (alone,) = numbers_of(found)
    shared = numbers_of(found, ranks)
    together = [row for read in shared for row in read]
    assert {len(read) for read in shared} == {len(alone) // ranks}
    assert len(set(together)) == len(together)
    assert set(together) <= set(alone)
    assert numbers_of(found, epoch=2)[0] != alone  # in another order
    assert numbers_of(found) == [alone]

    streamed = batches.Streamed(found, lambda frame: frame[:, :2].to_numpy())
    counts = set()
    for rank in range(ranks):
        fabric: Any = SimpleNamespace(global_rank=rank, world_size=ranks, to_device=lambda x: x)
        counts.add(tuple(len(inputs) for inputs, *_ in streamed.epoch(fabric, 0, 1, 0, 64)))
    assert len(counts) == 1


def fitted(
    settings: Settings,
    dataset: Dataset,
    folder: Path,
    features: Any,
    weight: np.ndarray | None = None,
) -> NeuralNetwork:
    """Fit a network on one or two numbers of the prepared rows, and of those that are streamed."""
    learned, _, _ = parts(dataset)
    network = NeuralNetwork(
        network=Network,
        loop=train_network,
        classifies=True,
        n_categories=0,
        settings=settings.neural,
        seed=1,
        checkpoints=folder,
        report=report_nothing,
        stream=partial(Shards.of, settings.data, dataset, learned),
        features=features,
    )
    return network.fit(dataset.features(learned).numbers[:, :2], dataset.target(learned), weight)


def test_a_training_cut_off_within_an_epoch_goes_on_with_the_row_after(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BUFFER", 1_000)
    settings = project(goods(), neural={"epochs": 2, "batch_size": 256, "checkpoint_seconds": 0})
    dataset = prepare(settings)

    class Breaking:
        calls = 0

        def transform(self, frame: pl.DataFrame) -> np.ndarray:
            self.calls += 1
            if self.calls == self.breaks:
                raise UserError("the store is away")
            return frame[:, :2].to_numpy()

        def __init__(self, breaks: int) -> None:
            self.breaks = breaks

    whole = fitted(settings, dataset, tmp_path / "whole", Breaking(0))
    for breaks in (3, 6):
        with pytest.raises(UserError, match="away"):
            fitted(settings, dataset, tmp_path / "broken", Breaking(breaks))
    broken = fitted(settings, dataset, tmp_path / "broken", Breaking(0))
    assert list((tmp_path / "broken").glob("*-search.ckpt"))
    expected = whole.network_.state_dict()
    for name, tensor in broken.network_.state_dict().items():
        assert torch.equal(tensor, expected[name])


def counted(table: pl.DataFrame) -> pl.DataFrame:
    """Give each row a weight that its size tells, 0 to some."""
    size = pl.col("size").abs()
    return table.with_columns(pl.when(size < 0.3).then(0.0).otherwise(3 * size).alias("weight"))


def test_streamed_rows_bring_their_weights_and_those_of_weight_zero_are_not_read(
    project: Project, tmp_path: Path
) -> None:
    settings = project(counted(goods()), {"weight": "weight"}, neural={"epochs": 2})
    dataset = prepare(settings)
    learned, stops, _ = parts(dataset)
    found = Shards.of(settings.data, dataset, learned, stops)
    streamed = batches.Streamed(found, lambda frame: frame[:, :1].to_numpy(), weight=2.0)
    fabric: Any = SimpleNamespace(global_rank=0, world_size=1, to_device=lambda x: x)
    used = 0
    for inputs, targets, weights in streamed.epoch(fabric, 0, 1, 0, 64):
        assert len(inputs) == len(targets) == len(weights)
        torch.testing.assert_close(weights, 3 * inputs[:, 0].abs() / 2)
        assert inputs[:, 0].abs().min() >= 0.3
        used += len(inputs)
    assert used == sum(found.counts) > 2_000

    scales = []

    class Watched(batches.Streamed):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            scales.append(self.weight)

    known = dataset.sample_weight(learned)
    assert known is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coldstart.nn._estimator.Streamed", Watched)
        as_they_are = SimpleNamespace(transform=lambda frame: frame[:, :1].to_numpy())
        fitted(settings, dataset, tmp_path / "kept", as_they_are, known)
    assert scales == pytest.approx([known[known > 0].mean()] * 2)


def test_a_streamed_row_without_a_weight_is_refused(project: Project) -> None:
    table = counted(goods())
    settings = project(table, {"weight": "weight"})
    dataset = prepare(settings)
    learned, stops, _ = parts(dataset)
    assert dataset.row_ids is not None
    other = next(one for one in range(100, ROWS) if one not in set(dataset.row_ids[shards.ROW])
                 and one % 100)  # fmt: skip
    third = ROWS // 3
    file = Path("goods") / f"{other // third}.parquet"
    changed = pl.when(pl.col("number") == other).then(-1.0).otherwise("weight").alias("weight")
    pl.read_parquet(file).with_columns(changed).write_parquet(file)
    with pytest.raises(UserError, match="weight: a column with the role weight needs a value"):
        _ = Shards.of(settings.data, dataset, learned, stops).counts


def test_few_rows_are_in_memory_at_a_time(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BUFFER", 500)
    settings = project(goods())
    dataset = prepare(settings)
    learned, stops, _ = parts(dataset)
    found = Shards.of(settings.data, dataset, learned, stops)
    read, slices = [0], RowGroup.slices

    def counted(self: RowGroup, *arguments: Any) -> Iterator[pl.LazyFrame]:
        for rows in slices(self, *arguments):
            read[0] += len(rows.collect())
            yield rows

    assert sum(found.counts) > 3_000
    monkeypatch.setattr(RowGroup, "slices", counted)
    streamed = batches.Streamed(found, lambda frame: frame[:, :2].to_numpy())
    fabric: Any = SimpleNamespace(global_rank=0, world_size=1, to_device=lambda x: x)
    used, most, share = 0, 0.0, sum(found.counts) / ROWS
    for inputs, *_ in streamed.epoch(fabric, 0, 1, 0, 50):
        most = max(most, read[0] * share - used)
        used += len(inputs)
    assert used == sum(found.counts)
    assert most < 3 * (500 + 100)  # the buffer, and what is read while it is used


def test_a_streamed_network_is_as_good_as_one_that_had_all_rows_in_memory(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = {"batch_size": 64, "epochs": 8, "checkpoint_seconds": 60}
    settings = project(goods(), neural=chosen, training_rows=ROWS)
    dataset = prepare(settings)
    learned, _, _ = parts(dataset)
    test = dataset.splits[0].test
    answer, features = dataset.target(test), as_frame(dataset.features(test))
    scores = []
    for stream in (True, False):
        fitter = Fitter(
            FAMILIES["neural"], settings, dataset, checkpoints=tmp_path / "kept", stream=stream
        )
        model = fitter.fit(learned)
        scores.append(average_precision_score(answer, model.predict_proba(features)[:, 1]))
    assert capsys.readouterr().out.count("rows an epoch, streamed from") == 2  # search, and fit
    assert min(scores) > 0.9
    assert abs(scores[0] - scores[1]) < 0.02


@pytest.mark.skipif(os.name == "nt", reason="torch's gloo has no Windows build with spawn")
def test_two_processes_stream_each_their_share(project: Project, tmp_path: Path) -> None:
    chosen = {"batch_size": 64, "devices": 2, "accelerator": "cpu"}
    settings = project(goods(), neural=chosen)
    dataset = prepare(settings)
    learned, _, _ = parts(dataset)
    found = Shards.of(settings.data, dataset, learned, learned[:0])
    as_they_are = ColumnTransformer([("numbers", "passthrough", [0, 1])])
    as_they_are.fit(as_frame(dataset.encoded))
    shape: tuple[int, list[int], int] = (2, [], 2)
    job = TrainingJob(
        stage="fit",
        shape=shape,
        settings=settings.neural,
        seed=1,
        epochs=4,
        train=batches.Streamed(found, as_they_are.transform),
        held_out=None,
        checkpoint=tmp_path / "fit.ckpt",
        report=report_nothing,
    )
    weights, _ = launch(train_network, job)
    network = Network(*shape, settings.neural).eval()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    test = dataset.splits[0].test
    scores = network(torch.tensor(dataset.features(test).numbers[:, :2])).argmax(1)
    assert (scores.numpy() == dataset.target(test)).mean() > 0.7


def test_from_an_object_store_come_the_same_rows_as_from_files(
    project: Project, monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str]
) -> None:
    boto3 = pytest.importorskip("boto3", reason="it is not installed")
    server = pytest.importorskip("moto.server", reason="it is not installed")
    settings = project(goods())
    local = prepare(settings)
    learned, stops, _ = parts(local)
    expected = numbers_of(Shards.of(settings.data, local, learned, stops))
    store = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    store.start()
    try:
        host, port = store.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="shards")
        for path in Path("goods").iterdir():
            client.upload_file(str(path), "shards", f"goods/{path.name}")
            path.unlink()
        there = load_settings(data={"table": "s3://shards/goods/*.parquet"})
        dataset = prepare(there)
        assert dataset.table.equals(local.table)
        assert numbers_of(Shards.of(there.data, dataset, learned, stops)) == expected
        for name in ("shards/goods/*.csv", "nowhere/goods", "shards/none.parquet"):
            assert f"s3://{name}" in refusal("prepare", "--data.table", f"s3://{name}")
    finally:
        store.stop()


def test_what_cannot_be_streamed_is_refused(
    project: Project, small_project: Callable[..., Path], refusal: Callable[..., str]
) -> None:
    project(goods()[:600])
    assert "so few that they are split 5 times" in refusal("prepare")
    lagged = {**COLUMNS, "day": {"type": "date", "role": "time", "nullable": False}}
    before = {"before": {"type": "number", "lag_of": "size", "steps": 1}}
    small_project(lagged | before, data={"table": "goods"}, neural={"stream": True})
    assert "before is an earlier row's value" in refusal("prepare")
    small_project(neural={"stream": True})
    assert "fruit.csv is not Parquet" in refusal("prepare")


def test_streaming_is_off_unless_asked_for() -> None:
    assert not NeuralSettings().stream
