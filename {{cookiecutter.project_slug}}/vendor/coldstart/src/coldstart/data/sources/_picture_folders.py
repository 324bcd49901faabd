"""Folders of pictures: each folder's name is the class of the pictures in it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from coldstart.contract._pictures import is_picture
from coldstart.errors import UserError

TABLE = "pictures.csv"
PICTURE, LABEL = "picture", "label"


def find_pictures(root: Path) -> list[Path]:
    """Return the pictures below a folder, by their names. Hidden ones are left out."""
    return sorted(
        path
        for path in root.rglob("*")
        if is_picture(path.name)
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.is_file()
    )


def copy_pictures(root: Path, pictures: Sequence[Path], into: Path) -> None:
    """Copy pictures, and write a table of their paths and labels beside them.

    Raises
    ------
    UserError
        If there is one class alone, or a picture lies in no folder of a class.
    """
    loose = [path.name for path in pictures if path.parent == root]
    classes = sorted({path.parent.name for path in pictures})
    advice = (
        "put each picture into a folder with the name of its class, or bring a table with a "
        "column of paths"
    )
    if loose and len(loose) < len(pictures):
        raise UserError(
            f"{root}: {len(loose)} pictures, such as {loose[0]!r}, have no class: {advice}"
        )
    if len(classes) < 2:
        raise UserError(f"{root}: its pictures are of one class: {advice}")
    with (into / TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([PICTURE, LABEL])
        for path in tqdm(pictures, unit="picture", disable=None, leave=False, desc="copying"):
            name = path.relative_to(root)
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, into / name)
            writer.writerow([name.as_posix(), path.parent.name])
