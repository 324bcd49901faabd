"""A stand-in: one local file, copied."""

from __future__ import annotations

import shutil
from pathlib import Path


def bring(
    source: str, licence: str | None = None, query: str | None = None, append: bool | None = None
) -> Path:
    """Copy a file to data/raw."""
    path = Path("data/raw") / Path(source).name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.resolve() != Path(source).resolve():
        shutil.copy(source, path)
    return path
