"""Conversion: how the steps of `features` become nodes of the graph.

skl2onnx does not know our own steps, and gives scikit-learn's encoders four nodes for each
column. A node costs as much as it computes where there is a single row, so here all columns
share a few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from sklearn.preprocessing import OneHotEncoder, TargetEncoder

from coldstart.train._features import FrequentCategories, RobustNumbers


class Nodes:
    """A builder of graph nodes and constants in place of one fitted step.

    Parameters
    ----------
    scope, operator, container : object
        Arguments of a converter of skl2onnx.
    """

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self.scope, self.container = scope, container
        self.input: str = operator.inputs[0].full_name
        self.output: str = operator.outputs[0].full_name

    def constant(self, values: Any) -> str:
        """Add a constant with the type of the values, and return its name."""
        name = str(self.scope.get_unique_variable_name("constant"))
        array = np.asarray(values)
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.container.add_initializer(name, kind, array.shape, array.ravel().tolist())
        return name

    def add(
        self, kind: str, *inputs: str, output: str = "", domain: str = "", **attributes: Any
    ) -> str:
        """Add a node, and return the name of its output."""
        output = output or str(self.scope.get_unique_variable_name(kind.lower()))
        name = self.scope.get_unique_operator_name(kind)
        about = {"op_domain": domain, "name": name, **attributes}
        self.container.add_node(kind, list(inputs), output, **about)
        return output

    def look_up(
        self, columns: Sequence[Sequence[str]], values: Any, default: Any, kind: str
    ) -> None:
        """Map the strings of each column to values, by one table for all columns.

        Parameters
        ----------
        columns : sequence of sequence of str
            Strings in each column's table. Any other string is mapped to `default`.
        values : sequence
            Values of all columns, one column after the other.
        default : object
            Value of a string that is not in the table.
        kind : str
            LabelEncoder's name of the values' type.
        """
        row_ids = [f"{i}:" for i in range(len(columns))]
        marked = self.add(
            "StringConcat", self.constant(np.array(row_ids, dtype=object)), self.input
        )
        keys = [mark + key for mark, keys in zip(row_ids, columns, strict=True) for key in keys]
        table = {
            "keys_strings": keys or [""],  # onnxruntime refuses an empty table
            f"values_{kind}s": list(values) or [default],
            f"default_{kind}": default,
        }
        self.add("LabelEncoder", marked, output=self.output, domain="ai.onnx.ml", **table)


def robust_numbers(step: RobustNumbers, nodes: Nodes) -> None:
    """Convert `RobustNumbers`: fill missing values, clip, scale, and flag missing values."""
    missing = nodes.add("IsNaN", nodes.input)
    # Missing values are filled first: what Min and Max make of NaN is not specified.
    filled = nodes.add("Where", missing, nodes.constant(step.median_), nodes.input)
    above = nodes.add("Max", filled, nodes.constant(step.low_))
    numbers = nodes.add("Min", above, nodes.constant(step.high_))
    if step.scale:
        numbers = nodes.add("Sub", numbers, nodes.constant(step.median_))
        numbers = nodes.add("Div", numbers, nodes.constant(step.spread_))
    flagged = nodes.add("Gather", missing, nodes.constant(step.flagged_), axis=1)
    flags = nodes.add("Cast", flagged, to=TensorProto.FLOAT)
    nodes.add("Concat", numbers, flags, output=nodes.output, axis=1)


def frequent_categories(step: FrequentCategories, nodes: Nodes) -> None:
    """Convert `FrequentCategories`: number each column's frequent categories from 1."""
    codes = [code for some in step.categories_ for code in range(1, len(some) + 1)]
    nodes.look_up(step.categories_, codes, 0, "int64")


def target_means(step: TargetEncoder, nodes: Nodes) -> None:
    """Convert `TargetEncoder`: map each category to its mean target, others to the overall mean."""
    means = np.concatenate(step.encodings_).astype(np.float32).tolist()
    columns = [[str(category) for category in some] for some in step.categories_]
    nodes.look_up(columns, means, float(step.target_mean_), "float")


def one_hot(step: OneHotEncoder, nodes: Nodes) -> None:
    """Convert `OneHotEncoder`: write a 1 at the position of each column's code, if it has one."""
    sizes = [int(codes.max()) + 1 for codes in step.categories_]
    starts = np.cumsum([0, *sizes[:-1]])
    place, value = np.zeros(sum(sizes), np.int64), np.zeros(sum(sizes), np.float32)
    known = np.concatenate(
        [codes + start for codes, start in zip(step.categories_, starts, strict=True)]
    )
    place[known], value[known] = np.arange(len(known)), 1.0
    code = nodes.add("Add", nodes.input, nodes.constant(starts))
    places = nodes.add("Gather", nodes.constant(place), code)
    values = nodes.add("Gather", nodes.constant(value), code)
    rows = nodes.add("Shape", nodes.input, start=0, end=1)
    shape = nodes.add("Concat", rows, nodes.constant(np.array([len(known)])), axis=0)
    zero = numpy_helper.from_array(np.zeros(1, np.float32))
    zeros = nodes.add("ConstantOfShape", shape, value=zero)
    nodes.add(
        "ScatterElements", zeros, places, values, output=nodes.output, axis=1, reduction="add"
    )


def register_converter(
    kind: type,
    convert: Callable[[Any, Nodes], None],
    width: Callable[[Any], int],
    output: type = FloatTensorType,
) -> None:
    """Register how skl2onnx converts a fitted step.

    Parameters
    ----------
    kind : type
        Class of the step.
    convert : callable
        Function of a fitted step and a `Nodes`, which adds the step's nodes to the graph.
    width : callable
        Function of a fitted step that returns the number of its output's columns.
    output : type, default=FloatTensorType
        Type of the output, from `skl2onnx.common.data_types`.
    """

    def shape(operator: Any) -> None:
        rows = operator.inputs[0].get_first_dimension()
        operator.outputs[0].type = output([rows, width(operator.raw_operator)])

    def converter(scope: Any, operator: Any, container: Any) -> None:
        convert(operator.raw_operator, Nodes(scope, operator, container))

    update_registered_converter(kind, f"{kind.__name__} of {__package__}", shape, converter)


register_converter(
    RobustNumbers, robust_numbers, lambda step: step.n_features_in_ + len(step.flagged_)
)
register_converter(
    FrequentCategories, frequent_categories, lambda step: step.n_features_in_, Int64TensorType
)
register_converter(TargetEncoder, target_means, lambda step: step.n_features_in_)
register_converter(OneHotEncoder, one_hot, lambda step: sum(map(len, step.categories_)))
