"""Traffic: which model answers a request, and what is kept of it."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any
from zlib import crc32

from prometheus_client import Counter

from coldstart.serve._limits import SlowClientProtocol
from coldstart.serve._live_model import LiveModel
from coldstart.serve._prediction_log import Entry, Recorder
from coldstart.serve._request_log import REQUEST
from coldstart.serve._route import Answers, MicroBatcher, Threads
from coldstart.serve._schemas import Row

INLINE_ROWS = 64  # more rows than these take long enough to be worth a thread


class ModelRouter:
    """Gives each request to the champion, or for a share of them to the challenger.

    Parameters
    ----------
    challenger
        None: the champion answers everything. So it does where both are the same version.
    canary
        Share of the requests that the challenger answers.
    shadow
        Whether the challenger is asked what the champion answers, for the record alone.
    record
        Where predictions are kept, if they are.
    counter
        Counts the rows, by role and version.
    """

    def __init__(
        self,
        champion: LiveModel,
        challenger: LiveModel | None,
        canary: float,
        shadow: bool,
        record: Recorder | None,
        threads: Threads,
        counter: Counter,
    ) -> None:
        self.champion, self.challenger = champion, challenger
        self.canary, self.shadow = canary, shadow
        self.record, self.threads, self.counter = record, threads, counter
        self.ticks = {
            role: MicroBatcher(served.score)
            for role, served in (("champion", champion), ("challenger", challenger))
            if served
        }
        self._counted = dict[tuple[str, str], Any]()

    async def answer(self, rows: list[Row]) -> Answers:
        """Answers to rows, and the version that gave them."""
        challenger = self.challenger
        if challenger and challenger.version == self.champion.version:
            challenger = None
        request = REQUEST.get()
        role, served = "champion", self.champion
        # By the id, so that who sends one gets the same model each time.
        if challenger and crc32(b"canary" + request.encode()) < self.canary * 2**32:
            role, served = "challenger", challenger
        if len(rows) > INLINE_ROWS:
            answers, version = await self.threads(served.score, rows)
        elif len(SlowClientProtocol.under_way) == 1:  # in this tick nobody else can ask
            answers, version = served.score(rows)
        else:
            answers, version = await self.ticks[role](rows)
        self.count(len(rows), version, role)
        if self.record and self.is_kept(request):
            now = dt.datetime.now(dt.UTC)
            self.record.keep(Entry(request, now, role, version, rows, answers))
            if challenger and self.shadow and role == "champion":
                later = partial(challenger.score, rows)
                self.record.keep(Entry(request, now, "shadow", "", rows, later))
        return answers, version

    def count(self, rows: int, version: str, role: str = "champion") -> None:
        """Count rows that were answered."""
        counted = self._counted.get((role, version))
        if counted is None:
            counted = self._counted[role, version] = self.counter.labels(role, version)
        counted.inc(rows)

    def is_kept(self, request: str) -> bool:
        """Whether the predictions of a request are kept."""
        return self.record is not None and self.record.wants(request)
