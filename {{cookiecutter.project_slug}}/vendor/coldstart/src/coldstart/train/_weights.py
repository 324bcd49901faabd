"""Large weights of a graph, set aside while it is merged or checked: ONNX's tools hold 2 GB."""

from __future__ import annotations

import onnx

SMALL = 1024  # bytes of a tensor that stays


def set_aside(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Take the weights out of a graph, in which empty tensors of the same names stay.

    Parameters
    ----------
    model : onnx.ModelProto
        The graph, which is changed.

    Returns
    -------
    dict of str to onnx.TensorProto
        The weights, by name.
    """
    aside = {}
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > SMALL:
            aside[tensor.name] = onnx.TensorProto()
            aside[tensor.name].CopyFrom(tensor)
            tensor.dims[:] = [0]
            tensor.raw_data = b""
    return aside


def put_back(model: onnx.ModelProto, aside: dict[str, onnx.TensorProto], prefix: str = "") -> None:
    """Put the weights back into a graph.

    Parameters
    ----------
    model : onnx.ModelProto
        The graph, which is changed.
    aside : dict of str to onnx.TensorProto
        What `set_aside` returned. It is empty afterwards, so that no weights are held twice.
    prefix : str, default=""
        What was added to the names since.
    """
    for tensor in model.graph.initializer:
        name = tensor.name
        if name.startswith(prefix) and name.removeprefix(prefix) in aside:
            tensor.CopyFrom(aside.pop(name.removeprefix(prefix)))
            tensor.name = name
