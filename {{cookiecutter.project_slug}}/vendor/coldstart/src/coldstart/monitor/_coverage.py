"""Coverage: how many outcomes are in the prediction interval or set that was given for them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from coldstart.bundle._bundle import Manifest
from coldstart.monitor._rows import SET
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._intervals import mean_interval


@dataclass(frozen=True)
class Coverage:
    """The share of outcomes in their prediction interval or set.

    Attributes
    ----------
    nominal : float
        Share that the intervals or sets are made to contain.
    share : float
        Share that they contain.
    interval : tuple of two floats
        Its 95% confidence interval.
    rows : int
        Number of outcomes whose interval or set is known.
    size, tested_size : float, optional
        Mean number of classes in a set, now and on the test set. None for intervals.
    """

    nominal: float
    share: float
    interval: tuple[float, float]
    rows: int
    size: float | None = None
    tested_size: float | None = None


def measure_coverage(
    joined: pl.DataFrame, held: HeldOutPredictions, manifest: Manifest
) -> Coverage | None:
    """Measure the coverage; return None if no interval and no set is known.

    An interval follows from the predicted number. A set does not follow from the predicted class,
    so the log has it.

    Parameters
    ----------
    joined : DataFrame
        Predictions with the target.
    held : HeldOutPredictions
        The same, in the form that is evaluated.
    manifest : Manifest
        Of the bundle.
    """
    conformal, groups = manifest.conformal, held.groups
    if conformal is None:
        return None
    size = tested_size = None
    if not manifest.classes:
        inside = conformal.covers(held.target, held.prediction[0], held.labels[0])
    elif SET in joined.columns:
        known = joined[SET].is_not_null()
        groups = None if groups is None else groups[known.to_numpy()]
        found = joined.filter(known).select(
            pl.col(SET).str.json_decode(pl.List(pl.String)),
            pl.col(manifest.target).cast(pl.String).alias("outcome"),
        )
        inside = found.select(pl.col(SET).list.contains(pl.col("outcome"))).to_series().to_numpy()
        size = float(found[SET].list.len().to_numpy().mean()) if len(found) else None
        tested_size = manifest.metrics.get("coverage", {}).get("size")
    else:
        return None
    if inside is None or not len(inside):
        return None
    return Coverage(
        nominal=conformal.coverage,
        share=float(inside.mean()),
        interval=mean_interval(inside, groups),
        rows=len(inside),
        size=size,
        tested_size=tested_size,
    )
