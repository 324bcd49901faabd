"""Snapshots: complete or not visible."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from coldstart.cloud._snapshots import LISTS, OBJECTS, Snapshots
from coldstart.cloud._store import Store, TakenError, read_json


def write(folder: Path, **files: str) -> None:
    """Write checkpoints as a training does: each replaces the one before it."""
    for name, content in files.items():
        path = folder / "checkpoints" / f"{name}.ckpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".unfinished").write_text(content)
        path.with_suffix(".unfinished").replace(path)


def read(folder: Path) -> dict[str, str]:
    """What a folder holds."""
    return {path.stem: path.read_text() for path in (folder / "checkpoints").glob("*.ckpt")}


def elsewhere(store: Store, tmp_path: Path) -> tuple[dict[str, str], Snapshots]:
    """What another machine finds in the store."""
    folder = tmp_path / "elsewhere"
    folder.mkdir(exist_ok=True)
    snapshots = Snapshots(store, folder)
    snapshots.restore()
    return read(folder), snapshots


def test_another_machine_restores_what_the_last_one_had(store: Store, tmp_path: Path) -> None:
    here = Snapshots(store, tmp_path)
    assert here.restore() == {}
    write(tmp_path, search="1", fit="2")
    assert here.take({"machines": []})
    write(tmp_path, fit="3")
    (tmp_path / "checkpoints/search.ckpt").unlink()
    assert here.take({"machines": []})
    assert elsewhere(store, tmp_path)[0] == {"fit": "3"}


def test_a_restored_folder_holds_what_the_snapshot_does_and_nothing_older(
    store: Store, tmp_path: Path
) -> None:
    here = Snapshots(store, tmp_path)
    write(tmp_path, fit="1")
    (tmp_path / "mlflow.db").touch()
    assert here.take({"machines": [1]})
    write(tmp_path, fit="2")
    assert here.take({"machines": [1, 2]})
    folder = tmp_path / "elsewhere"
    write(folder, fit="0", search="0")
    for name in ("mlruns/0/meta.yaml", ".restored/checkpoints/search.ckpt", "config.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "training.log").write_text("of another job")
    there = Snapshots(store, folder)
    assert there.restore() == {"machines": [1, 2]}
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoints", "config.yaml", "mlflow.db"
    ]  # fmt: skip
    assert read(folder) == {"fit": "2"}
    assert there.number == 2
    # What it restored is not sent again.
    assert there.stored == set(read_json(store, store.names(LISTS)[-1])["files"].values())
    write(folder, fit="3")
    assert there.take({})
    assert store.names(LISTS)[-1] == f"{LISTS}000003.json"


def test_an_interrupted_snapshot_is_not_restored(store: Store, tmp_path: Path) -> None:
    here = Snapshots(store, tmp_path)
    write(tmp_path, fit="whole")
    here.take({})
    write(tmp_path, fit="next")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "put", cut_off_at(store, LISTS))
        with pytest.raises(ConnectionError):
            here.take({})
    found, there = elsewhere(store, tmp_path)
    assert found == {"fit": "whole"}
    # Its objects belong to no list, and are deleted with the next snapshot.
    write(tmp_path / "elsewhere", fit="after")
    there.take({})
    assert len(store.names(OBJECTS)) == 2


def test_a_file_that_is_written_to_while_it_is_sent_is_in_no_snapshot(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Snapshots(store, tmp_path)
    file = tmp_path / "checkpoints/fit.ckpt"
    write(tmp_path, fit="first")
    assert here.take({})
    write(tmp_path, fit="second")

    def put_slowly(*arguments: object, **options: object) -> None:
        with file.open("a") as opened:  # in place, which trainings do not do
            opened.write(", third")
        real(*arguments, **options)  # type: ignore[arg-type]

    real = store.put
    monkeypatch.setattr(store, "put", put_slowly)
    assert not here.take({})
    monkeypatch.undo()
    assert len(store.names(LISTS)) == 1
    assert elsewhere(store, tmp_path)[0] == {"fit": "first"}
    assert here.take({})
    assert elsewhere(store, tmp_path)[0] == {"fit": "second, third"}


def test_a_log_that_grows_is_in_each_snapshot_as_it_was(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Snapshots(store, tmp_path)
    log = tmp_path / "training.log"
    log.write_text("first\n")
    put = store.put

    def put_slowly(*arguments: object, **options: object) -> None:
        with log.open("a") as file:
            file.write("more\n")
        put(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "put", put_slowly)
    assert here.take({})
    elsewhere(store, tmp_path)
    assert (tmp_path / "elsewhere/training.log").read_text() == "first\n"


def cut_off_at(store: Store, start: str) -> object:
    """The store's `put`, with a machine that ends before it writes such a name."""
    real = store.put

    def put(name: str, *arguments: object, **options: object) -> None:
        if name.startswith(start):
            raise ConnectionError
        real(name, *arguments, **options)  # type: ignore[arg-type]

    return put


@pytest.mark.parametrize("damage", ["changed", "gone", "list"])
def test_instead_of_a_corrupt_snapshot_the_one_before_is_restored(
    store: Store, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Snapshots(store, tmp_path)
    for content in ("first", "second", "third"):
        write(tmp_path, fit=content)
        here.take({})
    newest = store.names(LISTS)[-1]
    (digest,) = read_json(store, newest)["files"].values()
    if damage == "changed":
        store.put(OBJECTS + digest, b"third?")
    elif damage == "gone":
        store.delete([OBJECTS + digest])
    else:
        store.put(newest, b'{"files": {')
    found, there = elsewhere(store, tmp_path)
    assert found == {"fit": "second"}
    assert "snapshot 3 is not complete" in capsys.readouterr().err
    write(tmp_path / "elsewhere", fit="fourth")
    there.take({})
    assert elsewhere(store, tmp_path)[0] == {"fit": "fourth"}


def test_two_snapshots_are_kept_and_the_objects_that_they_need(
    store: Store, tmp_path: Path
) -> None:
    here = Snapshots(store, tmp_path)
    for number in range(6):
        write(tmp_path, fit=str(number), search="same")
        here.take({})
    assert len(store.names(LISTS)) == 2
    assert len(store.names(OBJECTS)) == 3


def test_a_machine_that_was_replaced_notices_it(store: Store, tmp_path: Path) -> None:
    here = Snapshots(store, tmp_path)
    write(tmp_path, fit="old")
    here.take({})
    _, there = elsewhere(store, tmp_path)
    write(tmp_path / "elsewhere", fit="new")
    there.take({})
    write(tmp_path, fit="too late")
    with pytest.raises(TakenError):
        here.take({})
    assert elsewhere(store, tmp_path)[0] == {"fit": "new"}


def test_a_database_that_is_written_to_is_consistent_in_each_snapshot(
    store: Store, tmp_path: Path
) -> None:
    here, done = Snapshots(store, tmp_path), threading.Event()

    def pairs() -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
            for number in range(10_000):
                with database:
                    database.execute("insert into pairs values (?, ?)", (number, "x" * 500))
                # A copy begins anew whenever somebody has written meanwhile.
                if done.wait(0.005):
                    return

    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("create table pairs (one, other)")
    writer = threading.Thread(target=pairs)
    writer.start()
    sizes: list[int] = []
    try:
        while len(sizes) < 5:
            if here.take({}):
                elsewhere(store, tmp_path)
                with contextlib.closing(sqlite3.connect(tmp_path / "elsewhere/mlflow.db")) as found:
                    assert found.execute("pragma integrity_check").fetchone() == ("ok",)
                    sizes.append(found.execute("select count(*) from pairs").fetchone()[0])
    finally:
        done.set()
        writer.join()
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]
