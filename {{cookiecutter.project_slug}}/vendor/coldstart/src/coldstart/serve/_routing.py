"""Routing: the model that predicts a request, and the predictions to log."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any
from zlib import crc32

from prometheus_client import Counter

from coldstart.serve._limits import SlowClientProtocol
from coldstart.serve._live_model import LiveModel
from coldstart.serve._prediction_log import LogEntry, PredictionLog
from coldstart.serve._request_log import REQUEST_ID
from coldstart.serve._route import MicroBatcher, Predictions, Threads
from coldstart.serve._schemas import Row

INLINE_ROWS = 64  # of one request; more take long enough to be worth a thread, for any model


class ModelRouter:
    """The champion for each request, or the challenger for a fraction of them.

    Parameters
    ----------
    champion, challenger : LiveModel
        Without a challenger, or where both are the same version, the champion predicts all.
    canary : float
        Share of the requests that the challenger predicts.
    shadow : bool
        Whether the challenger also predicts what the champion does, for the log alone.
    log : PredictionLog or None
        Where predictions are kept, if they are.
    threads : Threads
        Where requests of many rows are predicted.
    counter : Counter
        Counts the rows, by role and version.
    """

    def __init__(
        self,
        champion: LiveModel,
        challenger: LiveModel | None,
        canary: float,
        shadow: bool,
        log: PredictionLog | None,
        threads: Threads,
        counter: Counter,
    ) -> None:
        self.champion, self.challenger = champion, challenger
        self.canary, self.shadow = canary, shadow
        self.log, self.threads, self.counter = log, threads, counter
        self.batchers = {
            role: MicroBatcher(model)
            for role, model in (("champion", champion), ("challenger", challenger))
            if model
        }
        self._counters = dict[tuple[str, str], Any]()

    async def predict(self, rows: list[Row]) -> Predictions:
        """Return a prediction for each row, and the version of the model that made them."""
        challenger = self.challenger
        if challenger and challenger.version == self.champion.version:
            challenger = None
        request = REQUEST_ID.get()
        role, model = "champion", self.champion
        # By the id, so that a client that sends one gets the same model each time.
        if challenger and crc32(b"canary" + request.encode()) < self.canary * 2**32:
            role, model = "challenger", challenger
        if len(rows) > INLINE_ROWS or len(rows) > model.inline_rows:
            predictions, version = await self.threads(model.score, rows)
        elif len(SlowClientProtocol.in_progress) == 1:  # no other can arrive in this tick
            predictions, version = model.score(rows)
        else:
            predictions, version = await self.batchers[role](rows)
        self.count(len(rows), version, role)
        if self.log and self.is_logged(request):
            now = dt.datetime.now(dt.UTC)
            self.log.add(LogEntry(request, now, role, version, rows, predictions))
            if challenger and self.shadow and role == "champion":
                later = partial(challenger.score, rows)
                self.log.add(LogEntry(request, now, "shadow", "", rows, later))
        return predictions, version

    def count(self, rows: int, version: str, role: str = "champion") -> None:
        """Count rows that were predicted."""
        counter = self._counters.get((role, version))
        if counter is None:
            counter = self._counters[role, version] = self.counter.labels(role, version)
        counter.inc(rows)

    def is_logged(self, request: str) -> bool:
        """Return whether the predictions of a request are logged."""
        return self.log is not None and self.log.includes(request)
