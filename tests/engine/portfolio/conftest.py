"""Three projects about fruit with a column of each kind, one for each kind of target."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from engine.support import main

TARGETS: dict[str, dict[str, Any]] = {
    "two classes": {"type": "boolean"},
    "many classes": {"type": "category"},
    "regression": {"type": "number", "unit": "g"},
}
FEATURES: dict[str, dict[str, Any]] = {
    "weight": {"type": "number", "minimum": 0, "maximum": 1000},
    "colour": {"type": "category"},
    "shop": {"type": "category"},
    "bruised": {"type": "boolean"},
    "picked": {"type": "date"},
    "note": {"type": "text"},
    "speed": {"type": "number", "missing_values": ["-1"]},  # the derived column needs these two
    "height": {"type": "number"},
}


def fruit(task: str) -> pl.DataFrame:
    """Heavy and red fruit are sweet; some values are missing."""
    dice = random.Random(0)
    table = []
    for _ in range(700):
        weight, colour = abs(dice.gauss(150, 30)), dice.choice(["red", "green", "blue"])
        sugar = weight + 40 * (colour == "red") + dice.gauss(0, 20)
        many = "dry" if sugar < 140 else "sweet" if sugar > 190 else "fair"
        table.append(
            {
                "weight": None if dice.random() < 0.1 else weight,
                "colour": colour,
                "shop": f"shop {dice.randrange(40)}",
                "bruised": None if dice.random() < 0.1 else dice.random() < 0.3,
                "picked": dt.date(2024, 1, 1) + dt.timedelta(dice.randrange(300)),
                "note": " ".join(dice.choices(["north", "field", "ripe", "early"], k=3)),
                "speed": dice.choice([-1, dice.randrange(1, 30)]),
                "height": round(dice.uniform(0, 4000)),
                "sweet": {"two classes": sugar > 190, "many classes": many}.get(task, sugar),
            }
        )
    return pl.DataFrame(table)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Callable[[str], Path]:
    """`trained(task)`: a project with a champion. Tests must not change it."""
    made = dict[str, Path]()

    def make(task: str) -> Path:
        if task not in made:
            folder = tmp_path_factory.mktemp("fruit")
            fruit(task).write_csv(folder / "fruit.csv")
            target = {**TARGETS[task], "role": "target", "nullable": False}
            columns = {"columns": {**FEATURES, "sweet": target}}
            (folder / "schema.yaml").write_text(yaml.safe_dump(columns, sort_keys=False))
            config = {"data": {"table": "fruit.csv"}, "models": ["linear"]}
            config["split"] = {"cross_validate_below": 0}
            (folder / "config.yaml").write_text(yaml.safe_dump(config))
            shutil.copy(empty_store, folder)
            with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
                patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
                assert main(["train"]) == 0
            made[task] = folder
        return made[task]

    return make
