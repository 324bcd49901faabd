"""Pictures that look the same, such as a photo that was saved again with fewer pixels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
from PIL import Image as Picture
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from coldstart.contract import _pictures as pictures
from coldstart.contract._contract import Contract
from coldstart.contract.columns._image import THREADS
from coldstart.data._rows import ROW_HASH

SIDE = 32  # pixels that pictures are compared at
# Correlation of the brightness of their pixels. Of 2,624 photos of solar cells, which are much
# alike, 9 pairs of 3.4 million have more; 43 of them, smaller and as a JPEG of quality 60, have at
# least 0.998 with the original, and half of them 0.999.
ALIKE = 0.998
BLOCK = 2_048  # pictures that are compared with all others at a time
MOST = 50_000  # the comparison of more takes minutes: of these only exact copies are found


def thumbnail(picture: Picture.Image) -> np.ndarray:
    """Return the brightness of a picture's parts, shape (SIDE * SIDE,)."""
    small = picture.convert("L").resize((SIDE, SIDE), Picture.Resampling.BOX)
    return np.asarray(small, dtype=np.float32).ravel()


def find_copies(thumbnails: np.ndarray) -> np.ndarray:
    """Find pictures that look the same.

    Parameters
    ----------
    thumbnails : ndarray of float32, shape (n, SIDE * SIDE)
        What `thumbnail` returned.

    Returns
    -------
    ndarray of int, shape (n,)
        A number for each picture, which those that look the same share. One without any contrast
        looks like no other.
    """
    count = len(thumbnails)
    contrast = thumbnails - thumbnails.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(contrast, axis=1, keepdims=True)
    unit = np.divide(contrast, norms, out=np.zeros_like(contrast), where=norms > SIDE)
    if count > MOST:
        _, same = np.unique(thumbnails, axis=0, return_inverse=True)
        return np.where(norms[:, 0] > SIDE, same, same.max() + 1 + np.arange(count))
    pairs = [
        np.argwhere(unit[start : start + BLOCK] @ unit.T > ALIKE) + np.array([start, 0])
        for start in range(0, count, BLOCK)
    ]
    rows, columns = np.concatenate(pairs).T if count else np.empty((2, 0), dtype=int)
    graph = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), (count, count))
    numbers: np.ndarray = connected_components(graph, directed=False)[1]
    return numbers


def join_copies(table: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Let rows count as copies whose pictures look the same, so that one part gets them all.

    Parameters
    ----------
    table : polars.DataFrame
        Typed rows, with the column `ROW_HASH`.
    contract : Contract
        What the columns are.

    Returns
    -------
    polars.DataFrame
        The rows, with the same `ROW_HASH` for such rows.
    """
    for name in contract.pictures:
        values, column = table[name].to_list(), contract.features[name]
        numbers = pl.Series(find_copies(read_thumbnails(values, column)))
        known = table[name].is_not_null()
        copies = int(known.sum()) - numbers.filter(known).n_unique()
        if copies:
            print(f"{name}: {copies:,} pictures look like another; the split keeps them together")
        first = pl.col(ROW_HASH).first().over(numbers)
        table = table.with_columns(pl.when(known).then(first).otherwise(ROW_HASH).alias(ROW_HASH))
    return table


def read_thumbnails(values: Sequence[str | None], column: Any) -> np.ndarray:
    """Return the thumbnails of typed values, in threads. That of a missing one has no contrast."""

    def read(text: str | None) -> np.ndarray:
        if not text:
            return np.zeros(SIDE * SIDE, dtype=np.float32)
        return thumbnail(pictures.read_picture(pictures.to_bytes(text), column.size))

    with ThreadPoolExecutor(THREADS) as pool:
        return np.stack(list(pool.map(read, values)))
