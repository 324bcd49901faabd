"""The settings of `make monitor`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Literal

from pydantic import Field

from coldstart.config._sections import Fraction
from coldstart.config._settings import Settings


class MonitorRequest(Settings):
    """The settings of `make monitor`: which rows, and from which distance they have drifted."""

    days: float | None = Field(None, gt=0, description="the last days of the prediction log")
    since: dt.datetime | None = Field(None, description="first day or time (UTC) of the log")
    until: dt.datetime | None = Field(None, description="first day or time (UTC) left out again")
    role: Literal["champion", "challenger", "shadow"] = Field(
        "champion", description="whose predictions; challenger and shadow: the other bundle's"
    )
    outcomes: Path | None = Field(
        None, description="table of outcomes: request and row, or ref; and the target's name"
    )
    file: Path | None = Field(None, description="compare the rows of a file, not the log")
    part: Literal["train", "validation", "test", "out_of_time"] | None = Field(
        None, description="compare prepared rows, not the log"
    )
    record: Path | None = Field(None, description="another folder than serving.record.folder")
    bundle: Path | None = Field(None, description="another bundle than the champion's")
    threshold: Fraction = Field(0.1, description="distance from which a column has drifted")
    share: Fraction = Field(0.5, description="of drifted columns, from which all have")
