"""What the programs for BentoML and LitServe share: the body as pydantic models, and the graph.

They run in an environment of their own. BENCH_PACKAGE and BENCH_BUNDLE name what to serve, as they
load their program again in other processes. The contract is the generated project's, so that they
accept and encode what its API does.
"""

# The environment that it runs in has these libraries, the template's has not.
# mypy: disable-error-code="import-not-found, import-untyped"

import json
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import onnxruntime
from pydantic import BaseModel, ConfigDict, create_model

from coldstart.contract import Contract, register_derived

PACKAGE, BUNDLE = os.environ["BENCH_PACKAGE"], Path(os.environ["BENCH_BUNDLE"])
BATCHES = bool(os.environ.get("BENCH_BATCHES"))
MOST = 64  # requests in a batch: as many as are ever under way

register_derived(import_module(f"{PACKAGE}.features").DERIVED)
contract = Contract.load(BUNDLE / "schema.yaml")
manifest = json.loads((BUNDLE / "bundle.json").read_text())
fields: dict[str, Any] = {
    name: (column.request_type() | None, None) if column.nullable else (column.request_type(), ...)
    for name, column in contract.features.items()
}
Row: Any = create_model("Row", __config__=ConfigDict(extra="forbid"), __module__=__name__, **fields)


class Rows(BaseModel):
    """A request."""

    rows: list[Row]


class Label(BaseModel):
    """The prediction of a row."""

    label: str
    probability: float
    probabilities: dict[str, float]


class Predictions(BaseModel):
    """A response."""

    predictions: list[Label]


class Graph:
    """The bundle's graph, as the project itself opens it."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            BUNDLE / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [value.name for value in self.session.get_inputs()]

    def answer(self, rows: Sequence[Any]) -> list[Label]:
        """Predict rows, with the project's threshold between the two classes."""
        table = {name: [getattr(row, name) for row in rows] for name in contract.features}
        encoded = contract.encode(table)
        feed = {name: getattr(encoded, name) for name in self.inputs}
        answers = []
        for shares in self.session.run(None, feed)[0].tolist():
            best = shares.index(max(shares))
            if manifest["threshold"] is not None:
                best = int(shares[1] >= manifest["threshold"])
            classes = dict(zip(manifest["classes"], shares, strict=True))
            answers.append(
                Label(
                    label=manifest["classes"][best],
                    probability=shares[best],
                    probabilities=classes,
                )
            )
        return answers
