"""Runs in the rivals' environment: the bundle's graph, served by LitServe.

Usage: BENCH_PACKAGE=... BENCH_BUNDLE=... [BENCH_BATCHES=1] python lit.py PORT
"""

# The environment that it runs in has these libraries, the template's has not.
# mypy: disable-error-code="import-not-found, import-untyped, misc"

import sys

import litserve
from graph import BATCHES, MOST, Graph, Label, Predictions, Rows


class Api(litserve.LitAPI):
    """One endpoint."""

    def setup(self, device: str) -> None:
        self.graph = Graph()

    def decode_request(self, request: Rows) -> Rows:
        return request

    def predict(self, x: Rows) -> list[Label]:
        return self.graph.answer(x.rows)

    def encode_response(self, output: list[Label]) -> Predictions:
        return Predictions(predictions=output)


class BatchedApi(Api):
    """The same, but all requests that wait are one run of the graph."""

    def predict(self, x: list[Rows]) -> list[list[Label]]:  # type: ignore[override]
        answers = iter(self.graph.answer([row for body in x for row in body.rows]))
        return [[next(answers) for _ in body.rows] for body in x]


if __name__ == "__main__":
    api = BatchedApi(max_batch_size=MOST) if BATCHES else Api()
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
