"""What a person asks of `make monitor`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Literal

from pydantic import Field

from coldstart.config._settings import Fraction, Settings


class MonitorRequest(Settings):
    """What a person asks of `make monitor`."""

    days: float | None = Field(None, gt=0, description="the last days of the record")
    since: dt.datetime | None = Field(None, description="first day or time (UTC) of the record")
    until: dt.datetime | None = Field(None, description="the first that no longer belongs to it")
    role: Literal["champion", "challenger", "shadow"] = Field(
        "champion", description="whose answers: challenger and shadow are the other bundle's"
    )
    outcomes: Path | None = Field(
        None, description="what came true: columns request, row (of several) and the target's name"
    )
    file: Path | None = Field(None, description="compare the rows of a file, not the record")
    part: Literal["train", "validation", "test", "out_of_time"] | None = Field(
        None, description="compare prepared rows, not the record"
    )
    record: Path | None = Field(None, description="another folder than serving.record.folder")
    bundle: Path | None = Field(None, description="another bundle than the champion's")
    threshold: Fraction = Field(0.1, description="distance from which a column has drifted")
    share: Fraction = Field(0.5, description="of drifted columns, from which the whole has")
