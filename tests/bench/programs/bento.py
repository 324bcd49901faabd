"""Runs in the rivals' environment: the bundle's graph, served by BentoML.

Usage: BENCH_PACKAGE=... BENCH_BUNDLE=... [BENCH_BATCHES=1] bentoml serve bento:Api
"""

# The environment that it runs in has these libraries, the template's has not.
# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator"

import bentoml
from graph import BATCHES, MOST, Graph, Label, Row

# Its own batching adds rows to those of a run until waiting longer would cost more than it saves.
batching = {"batchable": True, "max_batch_size": 32 * MOST, "max_latency_ms": 1000}


@bentoml.service(
    workers=1,
    traffic={"timeout": 30},
    logging={"access": {"enabled": False}},
    metrics={"enabled": True},
)
class Api:
    """One endpoint."""

    def __init__(self) -> None:
        self.graph = Graph()

    @bentoml.api(route="/predict", **(batching if BATCHES else {}))
    def predict(self, rows: list[Row]) -> list[Label]:
        """Predict each row."""
        return self.graph.answer(rows)
