"""Metrics of the API in Prometheus' format."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # in which several workers add up their counts
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
Models = Callable[[], list[tuple[str, str, str]]]


class Metrics:
    """The counters of the API.

    Parameters
    ----------
    models : callable
        Returns role, version and model type of each model that is loaded.
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
        for labels in self.models():
            info.add_metric(labels, 1)
        yield info
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


def read_drift(path: Path) -> dict[str, Any] | None:
    """Return the result of `make monitor`, or None if it has not run yet."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found
