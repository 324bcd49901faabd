"""The leaderboard, of a project of its own with two runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engine.support import main

COLUMNS = {
    "size": {"type": "number"},
    "price": {"type": "number", "role": "target", "nullable": False},
}


def test_runs_stand_side_by_side_with_the_best_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    rows = "\n".join(f"{i % 37},{2 * (i % 37) + i % 5}" for i in range(300))
    Path("houses.csv").write_text("size,price\n" + rows)
    Path("schema.yaml").write_text(yaml.safe_dump({"columns": COLUMNS}, sort_keys=False))
    config = {"data": {"table": "houses.csv"}, "models": ["tree", "linear"]}
    config["split"] = {"cross_validate_below": 0}
    Path("config.yaml").write_text(yaml.safe_dump(config))

    assert main(["leaderboard"]) == 2
    assert "run: make train" in capsys.readouterr().err

    assert main(["train"]) == 0
    capsys.readouterr()
    assert main(["leaderboard"]) == 0
    shown = capsys.readouterr().out.splitlines()
    linear, tree = (
        next(i for i, line in enumerate(shown) if line.strip().startswith(name))
        for name in ("linear", "tree")
    )
    assert linear < tree
    assert all(len(line) <= 80 for line in shown)
    assert any("price" in line for line in shown)  # one target
    assert "champion" in "".join(shown[linear : linear + 2])
    assert any("R²" in line and "RMSE" in line for line in shown)
    assert "…" not in "".join(shown)

    assert main(["leaderboard", "--last", "1"]) == 0
    assert "tree" not in capsys.readouterr().out
