"""A champion that the tests of a module share: it is trained once, and copied to each of them."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.support import main


def train_champion(folder: Path, columns: dict[str, Any], config: dict[str, Any]) -> None:
    """Train on a table in a folder, by a schema of these columns."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "schema.yaml").write_text(yaml.safe_dump({"columns": columns}, sort_keys=False))
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        assert main(["train"]) == 0


def copy_champion(trained: Path, folder: Path) -> None:
    """Copy what monitoring needs of it."""
    for name in ("config.yaml", "schema.yaml"):
        shutil.copy(trained / name, folder)
    shutil.copytree(trained / "bundles", folder / "bundles")
