"""Requests and responses of the Open Inference Protocol: rows as named tensors, one a column."""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Any

import numpy as np
import pydantic_core
from pydantic import BaseModel, PrivateAttr

from coldstart.contract._contract import Contract
from coldstart.contract.columns import Boolean, Number
from coldstart.serve._route import RefusedError
from coldstart.serve._schemas import MAX_ROWS, Row

DTYPES = {
    "BOOL": "?",
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    "FP32": "<f4",
    "FP64": "<f8",
}
BYTES = "BYTES"


class Tensor(BaseModel):
    """A column of n rows, of the shape [n] or [n, 1]."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class RequestedOutput(BaseModel):
    """An output that the client wants."""

    name: str


class InferenceRequest(BaseModel):
    """A request of the protocol. Other parameters of it mean nothing here."""

    id: str | None = None
    inputs: list[Tensor]
    outputs: list[RequestedOutput] = []
    _rows: list[Row] = PrivateAttr()

    @property
    def rows(self) -> list[Row]:
        """The validated rows."""
        return self._rows


def refused(why: str) -> RefusedError:
    """Return the refusal of a request that is not of the protocol."""
    return RefusedError(400, why)


def read_rows(request: InferenceRequest, binary: memoryview, known: Collection[str]) -> bytes:
    """Return the rows of a request as the body of a request to `/predict`.

    Parameters
    ----------
    request : InferenceRequest
        The request.
    binary : memoryview
        The bytes of the tensors that have a `binary_data_size`, one after the other.
    known : collection of str
        Names that inputs may have.

    Returns
    -------
    bytes
        JSON. A number that is NaN is null.

    Raises
    ------
    RefusedError
        If the tensors have other shapes, or not as much data as they say.
    """
    columns: dict[str, list[Any]] = {}
    for tensor in request.inputs:
        name = tensor.name
        if name in columns:
            raise refused(f"{name}: there are two inputs of this name")
        # Before any value is read: as rows they take much more memory than in the request.
        if name not in known:
            raise refused(f"{name!r:.100}: there is no such input; inputs: {', '.join(known)}")
        if tensor.shape[1:] not in ([], [1]) or not tensor.shape:
            raise refused(f"{name}: expected the shape [n] or [n, 1], not {tensor.shape!s:.100}")
        if tensor.shape[0] > MAX_ROWS:
            raise refused(f"there are {tensor.shape[0]!s:.20} rows; a request may have {MAX_ROWS}")
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            values = flat(tensor)
        elif isinstance(size, int) and 0 <= size <= len(binary):
            values, binary = decode(tensor, binary[:size]), binary[size:]
        else:
            raise refused(f"{name}: there are not as many bytes as binary_data_size, {size}")
        if len(values) != tensor.shape[0]:
            raise refused(
                f"{name}: the shape is {tensor.shape}, and there are {len(values)} values"
            )
        columns[name] = values
    if binary:
        raise refused(f"{len(binary)} bytes are of no input")
    if len({len(values) for values in columns.values()}) > 1:
        raise refused("the inputs have different numbers of rows")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return pydantic_core.to_json({"rows": rows}, inf_nan_mode="null")


def flat(tensor: Tensor) -> list[Any]:
    """Return the values of a tensor that is written in JSON, flat or nested."""
    values = tensor.data or []
    if len(tensor.shape) == 2 and values and all(isinstance(one, list) for one in values):
        return [value for one in values for value in one]
    return values


def decode(tensor: Tensor, content: memoryview) -> list[Any]:
    """Return the values of a binary tensor.

    Raises
    ------
    RefusedError
        If its type is unknown, or its bytes are not of this type.
    """
    try:
        if tensor.datatype != BYTES:
            found = np.frombuffer(content, DTYPES[tensor.datatype])
            if len(found) > MAX_ROWS:
                raise ValueError(f"there are more than {MAX_ROWS} values")
            if found.dtype.kind == "f" and np.isinf(found).any():
                raise ValueError("a number is infinite")
            values: list[Any] = found.tolist()
            return values
        values, at = [], 0
        while at < len(content):
            (size,) = struct.unpack_from("<I", content, at)
            at += 4 + size
            if at > len(content):
                raise ValueError("a text is longer than the tensor")
            values.append(bytes(content[at - size : at]).decode())
            if len(values) > MAX_ROWS:
                raise ValueError(f"there are more than {MAX_ROWS} values")
        return values
    except KeyError:
        known = ", ".join([*DTYPES, BYTES])
        raise refused(f"{tensor.name}: the datatype is not one of {known}") from None
    except (ValueError, struct.error) as error:
        raise refused(f"{tensor.name}: {error}") from None


def inputs_of(contract: Contract) -> list[dict[str, Any]]:
    """Return name, type and shape of each column."""
    return [
        {"name": name, "datatype": datatype(column), "shape": [-1]}
        for name, column in contract.features.items()
    ]


def datatype(column: Any) -> str:
    """Return the protocol's type for a column; dates are texts."""
    if isinstance(column, Number):
        return "FP64"
    return "BOOL" if isinstance(column, Boolean) else BYTES


def outputs_of(classes: list[str], conformal: bool) -> list[dict[str, Any]]:
    """Return name, type and shape of each output, with prediction intervals or sets or without."""
    if not classes:
        names = ["value", "low", "high"] if conformal else ["value"]
        return [{"name": name, "datatype": "FP64", "shape": [-1]} for name in names]
    outputs = [
        {"name": "label", "datatype": BYTES, "shape": [-1]},
        {"name": "probability", "datatype": "FP64", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, len(classes)]},
    ]
    if conformal:  # whether each class is in the set
        outputs.append({"name": "set", "datatype": "BOOL", "shape": [-1, len(classes)]})
    return outputs


def write_outputs(
    predictions: list[dict[str, Any]], classes: list[str], wanted: list[RequestedOutput]
) -> list[dict[str, Any]]:
    """Return predictions as tensors; of the wanted outputs, if there are any.

    Raises
    ------
    RefusedError
        If there is no such output, or one is wanted twice.
    """
    names = [one.name for one in wanted]
    conformal = "coverage" in predictions[0]
    known = {one["name"]: one for one in outputs_of(classes, conformal)}
    for name in names:
        if name not in known:
            raise refused(f"there is no output {name!r:.100}; outputs: {', '.join(known)}")
    if len(set(names)) < len(names):
        raise refused("an output is wanted twice")
    tensors = []
    for name in names or known:
        values = [one[name] for one in predictions]
        if name == "probabilities":
            values = [share for one in values for share in one.values()]
        elif name == "set":
            values = [label in one for one in values for label in classes]
        shape = [len(predictions), *known[name]["shape"][1:]]
        tensors.append({**known[name], "shape": shape, "data": values})
    return tensors
