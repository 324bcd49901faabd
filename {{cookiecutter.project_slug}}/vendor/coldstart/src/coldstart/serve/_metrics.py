"""Metrics of the API in Prometheus' format."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # in which several workers add up their counts
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class LoadedModel(NamedTuple):
    """What the metrics name of a model.

    Parameters
    ----------
    role, version, family : str
        Champion or challenger, its version, and its type.
    trained_at : str
        When it was trained, in ISO format; empty if that is unknown.
    """

    role: str
    version: str
    family: str
    trained_at: str


Models = Callable[[], list[LoadedModel]]


class Metrics:
    """The counters of the API.

    Parameters
    ----------
    models : callable
        Returns the models that are loaded.
    drift : Path or None
        The file that `make monitor` writes, if predictions are logged.
    """

    def __init__(self, models: Models, drift: Path | None) -> None:
        self.registry = CollectorRegistry()
        here = {"registry": self.registry}
        requests = Histogram(
            "api_request_seconds",
            "Time from a request's first line to the end of its response",
            ["path", "status"],
            buckets=SECONDS,
            **here,  # type: ignore[arg-type]
        )
        self.rows = Counter("api_rows", "Rows predicted", ["role", "version"], **here)  # type: ignore[arg-type]
        self.in_progress = Gauge(
            "api_requests_in_progress",
            "Requests that wait for their response",
            multiprocess_mode="livesum",
            **here,  # type: ignore[arg-type]
        )
        self.logged = Counter(
            "api_predictions_logged",
            "Predictions kept for make monitor, or dropped as too many came",
            ["fate"],
            **here,  # type: ignore[arg-type]
        )
        self._requests, self._known = requests, dict[tuple[str, int], Histogram]()
        self.exposed = self.registry
        if SHARED in os.environ:
            self.exposed = CollectorRegistry()
            MultiProcessCollector(self.exposed)  # type: ignore[no-untyped-call]
        self.exposed.register(StateCollector(models, drift))

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        series = self._known.get((path, status))
        if series is None:  # looking labels up takes longer than counting
            series = self._known[path, status] = self._requests.labels(path, str(status))
        series.observe(seconds)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.exposed)


class StateCollector(Collector):
    """Gauges that are computed on request: the models, and the drift that was found last."""

    def __init__(self, models: Models, drift: Path | None) -> None:
        self.models, self.drift = models, drift

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        info = GaugeMetricFamily(
            "model_info", "Models that are loaded", labels=["role", "version", "family"]
        )
        trained = GaugeMetricFamily(
            "model_trained_timestamp_seconds",
            "When each model was trained, in seconds since 1970",
            labels=["role", "version"],
        )
        for model in self.models():
            info.add_metric([model.role, model.version, model.family], 1)
            if (seconds := unix_time(model.trained_at)) is not None:
                trained.add_metric([model.role, model.version], seconds)
        yield info
        yield trained
        found = read_drift(self.drift) if self.drift else None
        if found is None:
            return
        scores = GaugeMetricFamily(
            "model_drift", "Distance of served rows from the reference rows", labels=["column"]
        )
        for column, score in {**found["columns"], "__prediction__": found["prediction"]}.items():
            scores.add_metric([column], score)
        yield scores
        yield GaugeMetricFamily(
            "model_drifted", "1 if make monitor found drift", value=int(found["drifted"])
        )


def unix_time(time: str) -> float | None:
    """Return a time of a manifest in seconds since 1970; None if it is not one."""
    try:
        return dt.datetime.fromisoformat(time).timestamp()
    except ValueError:
        return None


def read_drift(path: Path) -> dict[str, Any] | None:
    """Return the result of `make monitor`, or None if it has not run yet."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found
