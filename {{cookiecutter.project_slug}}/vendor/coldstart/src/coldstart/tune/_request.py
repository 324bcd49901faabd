"""The options of `make tune`."""

from __future__ import annotations

from pydantic import Field

from coldstart.config._sections import Seconds
from coldstart.config._settings import Settings


class TuneRequest(Settings):
    """The options of `make tune`, beside the settings."""

    model: str | None = Field(None, description="the challenger's by default")
    trials: int = Field(50, gt=0, description="settings to try, those of earlier searches included")
    stop_after: Seconds | None = Field(None, description="time such as 10m")
    jobs: int = Field(1, gt=0, description="processes that share the search")
    storage: str | None = Field(None, description="a database that machines share")
