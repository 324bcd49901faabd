"""Pictures before training: which cannot be read, which look the same, and what gives a class away.

A model may tell classes by how pictures were made and not by what they show: classes that were
photographed by two cameras, saved in two sizes, or framed differently. Small models on that alone
find it.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from PIL import ExifTags
from PIL import Image as Picture
from tqdm import tqdm

from coldstart.contract import _pictures as pictures
from coldstart.contract._pictures import PictureError
from coldstart.contract.columns._image import THREADS
from coldstart.data._picture_copies import find_copies, thumbnail
from coldstart.data.profiling._column_types import profile_column
from coldstart.data.profiling._profiles import ColumnProfile, Leak, TableProfile
from coldstart.data.profiling._scores import CLASSES, Target, alone, together

SIDE = 64  # pixels that pictures are looked at with
EDGE = 4  # pixels of its border
# How much of the way from no information to a perfect score is suspicious. A border shows what is
# around a thing, which may belong to it.
FILE, BORDER = 0.5, 0.9
EXIF = {"camera": ExifTags.Base.Model, "date": ExifTags.Base.DateTime}


class Seen(NamedTuple):
    """What was seen of one picture.

    Attributes
    ----------
    file : dict
        How it was made and saved.
    border : ndarray of shape (12,)
        Mean colors of its four edges.
    thumbnail : ndarray
        See `thumbnail`.
    problem : str
        Why it cannot be read.
    """

    file: dict[str, Any]
    border: np.ndarray
    thumbnail: np.ndarray
    problem: str = ""


def survey_pictures(found: TableProfile, folder: Path) -> None:
    """Look at each picture of the sampled rows, and note what should be checked.

    Parameters
    ----------
    found : TableProfile
        The profile, to which warnings are added.
    folder : Path
        Folder that paths are relative to.
    """
    for profile in found.with_type("image"):
        paths = profile.raw.to_list()
        with ThreadPoolExecutor(THREADS) as pool:
            bar = tqdm(total=len(paths), unit="picture", disable=None, leave=False, desc="looking")
            seen = []
            for one in pool.map(partial(look, folder), paths):
                seen.append(one)
                bar.update()
            bar.close()
        profile.warnings += [*describe_problems(paths, seen), *describe_copies(paths, seen, found)]
        found.findings.warnings += find_giveaways(profile, seen, found)


def look(folder: Path, path: str | None) -> Seen:
    """Look at one picture."""
    nothing = Seen({}, np.full(12, np.nan), np.zeros(0))
    if path is None:
        return nothing
    try:
        content = (folder / path).read_bytes()
        small = pictures.read_picture(content, SIDE)
    except OSError as error:
        return nothing._replace(problem=str(error.strerror).lower())
    except PictureError as error:
        return nothing._replace(problem=str(error))
    with Picture.open(io.BytesIO(content)) as picture:
        exif = picture.getexif()
        file = {
            "width": picture.width,
            "height": picture.height,
            "format": picture.format,
            "mode": picture.mode,
            **{name: str(exif[tag])[:10] for name, tag in EXIF.items() if tag in exif},
        }
    pixels = np.asarray(small, dtype=np.float64)
    edges = (pixels[:EDGE], pixels[-EDGE:], pixels[:, :EDGE], pixels[:, -EDGE:])
    border = np.concatenate([edge.mean(axis=(0, 1)) for edge in edges])
    return Seen(file, border, thumbnail(small))


def describe_problems(paths: list[str | None], seen: list[Seen]) -> list[str]:
    """Return a line about pictures that cannot be read, if there are any."""
    wrong = [number for number, one in enumerate(seen) if one.problem]
    if not wrong:
        return []
    first = wrong[0]
    return [
        f"{len(wrong):,} of {len(seen):,} pictures cannot be read, the first is {paths[first]!r} "
        f"({seen[first].problem}): replace them, or delete their rows"
    ]


def describe_copies(paths: list[str | None], seen: list[Seen], found: TableProfile) -> list[str]:
    """Return a line about pictures that look the same, if there are any."""
    there = [number for number, one in enumerate(seen) if len(one.thumbnail)]
    if len(there) < 2:
        return []
    table = pl.DataFrame(
        {
            "group": find_copies(np.stack([seen[number].thumbnail for number in there])),
            "path": [paths[number] for number in there],
            "label": found.profiles[found.target].raw.cast(pl.String)[there],
        }
    )
    copies = len(table) - table["group"].n_unique()
    if not copies:
        return []
    line = f"{copies:,} pictures look like another: the split keeps them together"
    classes = found.profiles[found.target].type != "number"
    several = table.filter(pl.col("label").n_unique().over("group") > 1)
    if classes and len(several):
        group = several.filter(pl.col("group") == several["group"][0]).unique("label").sort("path")
        pair = " and ".join(map(repr, group["path"][:2]))
        count = several["group"].n_unique()
        line += f"; {count:,} of them with several labels, such as {pair}"
    return [line]


def find_giveaways(profile: ColumnProfile, seen: list[Seen], found: TableProfile) -> list[Leak]:
    """Return what tells the target, or one of its classes, without what the pictures show."""
    values = found.profiles[found.target].values
    rows = [number for number, one in enumerate(seen) if one.file and values[number] is not None]
    if len(rows) < 50 or values[rows].n_unique() < 2:
        return []
    names = list(dict.fromkeys(name for number in rows for name in seen[number].file))
    columns = {name: pl.Series([seen[number].file.get(name) for number in rows]) for name in names}
    files = {name: profile_column(name, column) for name, column in columns.items()}
    files = {
        name: one for name, one in files.items() if one.distinct + (one.values.null_count() > 0) > 1
    }
    border = np.stack([seen[number].border for number in rows])
    edges = [
        profile_column(f"edge {place}", pl.Series(edge)) for place, edge in enumerate(border.T)
    ]
    leaks = []
    for what, target in targets(values[rows], found.profiles[found.target]).items():
        scores = {name: alone(one, one.values, target) for name, one in files.items()}
        best = max(scores, key=lambda name: scores[name], default="")
        if best and target.strength(scores[best]) >= FILE:
            why = f"The {best} of the files alone tells {what}: were they made differently?"
            leaks.append(Leak(profile.name, scores[best], why))
        score = together([(edge, edge.values) for edge in edges], target)
        if target.strength(score) >= BORDER:
            why = f"The edges of the pictures alone tell {what}: a frame, a background, a mark?"
            leaks.append(Leak(profile.name, score, why))
    return leaks


def targets(values: pl.Series, profile: ColumnProfile) -> dict[str, Target]:
    """Return what is to be told, by its name: of several classes each of the commonest."""
    if profile.type == "number" or values.n_unique() == 2:
        return {profile.name: Target.of(values)}
    common = values.alias("class").value_counts(sort=True)["class"][:CLASSES]
    return {repr(one): Target.of(values == one) for one in common}
