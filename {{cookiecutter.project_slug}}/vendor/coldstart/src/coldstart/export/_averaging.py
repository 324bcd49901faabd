"""The graph of an ensemble: those of its members side by side, and the weighted sum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from coldstart.contract._contract import FLOAT32_MAX
from coldstart.train._weights import put_back, set_aside


def average(
    graphs: Sequence[onnx.ModelProto], weights: Sequence[float], output: str
) -> onnx.ModelProto:
    """Return one graph with the weighted sum of the outputs of several.

    Parameters
    ----------
    graphs : sequence of onnx.ModelProto
        Graphs with the same inputs, or some of them, and an output of the same shape. They are
        changed.
    weights : sequence of float
        Weight of each.
    output : str
        Name of the output of all of them.

    Returns
    -------
    onnx.ModelProto
        The graph.
    """
    aside = [set_aside(graph) for graph in graphs]
    parts = [
        compose.add_prefix(graph, f"member_{i}_", rename_inputs=False)
        for i, graph in enumerate(graphs)
    ]
    nodes = [node for part in parts for node in part.graph.node]
    initializers = [tensor for part in parts for tensor in part.graph.initializer]
    for i, weight in enumerate(weights):
        initializers.append(numpy_helper.from_array(np.array(weight, np.float32), f"weight_{i}"))
        nodes.append(
            helper.make_node("Mul", [f"member_{i}_{output}", f"weight_{i}"], [f"weighted_{i}"])
        )
    nodes.append(helper.make_node("Sum", [f"weighted_{i}" for i in range(len(parts))], ["sum"]))
    # Of the largest numbers there are, rounded shares can have an infinite sum.
    for name, limit in (("least", -FLOAT32_MAX), ("most", FLOAT32_MAX)):
        initializers.append(numpy_helper.from_array(np.array(limit, np.float32), name))
    nodes.append(helper.make_node("Clip", ["sum", "least", "most"], [output]))
    inputs = {entry.name: entry for part in parts for entry in part.graph.input}
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, None])]
    sets = {entry.domain: entry for part in parts for entry in part.opset_import}
    merged = helper.make_model(
        helper.make_graph(nodes, "ensemble", list(inputs.values()), outputs, initializers),
        opset_imports=list(sets.values()),
    )
    merged.ir_version = max(part.ir_version for part in parts)
    onnx.checker.check_model(merged)
    for i, weights_of_one in enumerate(aside):
        put_back(merged, weights_of_one, f"member_{i}_")
    return merged
