"""Export of a fitted pipeline to one ONNX graph, and the parity check."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
from onnx import compose, helper
from skl2onnx import get_model_alias
from skl2onnx import to_onnx as convert_sklearn_pipeline
from skl2onnx.common._registration import get_converter
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.pipeline import Pipeline

from coldstart.bundle._predictor import TOLERANCE, BundlePredictor, prediction_scale
from coldstart.contract._contract import FLOAT32_MAX, EncodedFeatures
from coldstart.contract.columns import MISSING
from coldstart.errors import UserError
from coldstart.export import _converters  # noqa: F401 (registers them with skl2onnx)
from coldstart.export._averaging import average
from coldstart.train._ensemble import WeightedAverage
from coldstart.train._fitting import predict
from coldstart.train._forecasts import DifferencedRegressor
from coldstart.train._sigmoid import CalibratedModel
from coldstart.train._weights import put_back, set_aside

OPSET = {"": 21, "ai.onnx.ml": 3}
IR_VERSION = 10
OUTPUT = "prediction"
HINT = "change its steps in models.py, or train another"
DIGITS = 1e-6  # relative error of sums of float32
TOLERATED, TOLERATED_SHARE = 0.05, 0.001  # see check_parity


def to_onnx(
    pipeline: Pipeline | DifferencedRegressor | WeightedAverage | CalibratedModel,
    features: EncodedFeatures,
) -> onnx.ModelProto:
    """Convert a fitted pipeline to one graph, from encoded columns to predictions.

    Inputs are `numbers` (float32) and `strings`, each of shape (n, columns) and left out if it has
    no columns. The output `prediction` is float32 of shape (n, classes), or (n, 1) for regression.

    Parameters
    ----------
    pipeline : Pipeline, DifferencedRegressor, WeightedAverage or CalibratedModel
        The fitted model.
    features : EncodedFeatures
        Encoded rows, which define the widths of the two inputs.

    Returns
    -------
    onnx.ModelProto
        The graph.

    Raises
    ------
    UserError
        If a step cannot be converted.
    """
    if isinstance(pipeline, WeightedAverage):
        graphs = [to_onnx(pipeline.models[name], features) for name in pipeline.weights]
        return average(graphs, list(pipeline.weights.values()), OUTPUT)
    if isinstance(pipeline, CalibratedModel):
        return pipeline.sigmoid.after(to_onnx(pipeline.model, features), OUTPUT)
    if isinstance(pipeline, DifferencedRegressor):
        return pipeline.around(to_onnx(pipeline.pipeline_, features), OUTPUT)
    inputs: list[tuple[str, Any]] = []
    if features.numbers.shape[1]:
        inputs.append(("numbers", FloatTensorType([None, features.numbers.shape[1]])))
    if features.strings.shape[1]:
        inputs.append(("strings", StringTensorType([None, features.strings.shape[1]])))
    try:
        if hasattr(pipeline[-1], "to_onnx"):
            return join(convert(pipeline[:-1], inputs), pipeline[-1].to_onnx())
        return convert(pipeline, inputs)
    except Exception as error:  # converters raise what they like
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{pipeline[-1]} cannot be converted to ONNX: {reason}; {HINT}") from error


def convert(pipeline: Pipeline, inputs: list[tuple[str, Any]]) -> onnx.ModelProto:
    """Convert scikit-learn steps, and keep the last output only."""
    options = {id(pipeline): {"zipmap": False}} if hasattr(pipeline, "classes_") else None
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # skl2onnx asks for what scikit-learn renames
        model: onnx.ModelProto = convert_sklearn_pipeline(
            pipeline, initial_types=inputs, options=options, target_opset=OPSET
        )
    model.ir_version = IR_VERSION
    rename(model, model.graph.output[-1].name, OUTPUT)
    shape = [None, None]
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, shape))
    return model


def rename(model: onnx.ModelProto, old: str, new: str) -> None:
    """Rename a value of the graph wherever it is made or used."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new


def join(preprocessing: onnx.ModelProto, network: onnx.ModelProto) -> onnx.ModelProto:
    """Connect the output of one graph to the input of the other."""
    network.ir_version = IR_VERSION
    network.graph.ClearField("metadata_props")
    weights = set_aside(network)
    first = compose.add_prefix(preprocessing, "features_", rename_inputs=False)
    second = compose.add_prefix(network, "network_", rename_outputs=False)
    # merge_models wants the same operator sets on both sides.
    sets = {entry.domain: entry for model in (first, second) for entry in model.opset_import}
    for model in (first, second):
        del model.opset_import[:]
        model.opset_import.extend(sets.values())
    merged = compose.merge_models(first, second, io_map=[(f"features_{OUTPUT}", "network_inputs")])
    onnx.checker.check_model(merged)
    put_back(merged, weights, "network_")
    return merged


def adversarial_rows(features: EncodedFeatures) -> EncodedFeatures:
    """Return rows with missing, unseen, empty and extreme values."""
    one = features[:1]
    extremes = (np.nan, 0, -1, FLOAT32_MAX, -FLOAT32_MAX)
    words = (MISSING, "", " ", "never seen", "x" * 10_000, "Ünïcödé 🐦", '"\n\t\\')
    numbers = [one.numbers, *(np.full_like(one.numbers, value) for value in extremes)]
    strings = [one.strings, *(np.full_like(one.strings, word) for word in words)]
    return EncodedFeatures.stack(
        [EncodedFeatures(number, string) for number in numbers for string in strings]
    )


def check_parity(model: Any, predictor: BundlePredictor, held_out: EncodedFeatures) -> float:
    """Compare the exported graph with the fitted model, on held-out and on adversarial rows.

    Parameters
    ----------
    model : Pipeline, DifferencedRegressor, WeightedAverage or CalibratedModel
        The fitted model.
    predictor : BundlePredictor
        The bundle that contains its graph.
    held_out : EncodedFeatures
        Rows that the model was not fitted on.

    Returns
    -------
    float
        The largest difference: in probability, or in standard deviations of the model's own
        predictions (in hundredths of their mean absolute value, if they vary less).

    Raises
    ------
    UserError
        If a difference is larger than `TOLERANCE`, or a predicted class changes away from a tie.

    Notes
    -----
    If no predicted class changes, a fraction of `TOLERATED_SHARE` of the held-out rows may differ
    by up to `TOLERATED`, as where a value lies on the threshold of a tree. The largest of these
    differences is printed.
    """
    features = EncodedFeatures.stack([held_out, adversarial_rows(held_out)])
    expected, found = predict(model, features), predictor.predict(features)
    rows = len(held_out.numbers)
    scale: Any = 1.0
    if not predictor.manifest.classes:  # of an extreme row the graph's numbers have seven digits
        digits = np.abs(expected).max(axis=1) * DIGITS / TOLERANCE
        scale = np.maximum(prediction_scale(expected[:rows]), digits)
    difference = np.abs(found - expected).max(axis=1) / scale
    wrong = ~(difference <= TOLERANCE)  # NaN is wrong, too
    flipped = np.zeros(len(wrong), dtype=bool)
    if predictor.manifest.classes:
        weights = np.asarray(predictor.manifest.weights or [1.0])
        margin = np.partition(expected * weights, -2, axis=1)
        tie = margin[:, -1] - margin[:, -2] <= 2 * TOLERANCE * weights.max()
        if predictor.manifest.threshold is not None:
            tie = np.abs(expected[:, 1] - predictor.manifest.threshold) <= TOLERANCE
        flipped = (predictor.labels(found) != predictor.labels(expected)) & ~tie
    real = np.arange(len(wrong)) < rows
    few = wrong & ~flipped & real & (difference <= TOLERATED)
    if 0 < few.sum() <= TOLERATED_SHARE * rows:
        worst = int(np.argmax(np.where(few, difference, 0)))
        print(
            f"warning: the exported graph differs from the fitted model in {few.sum()} of {rows} "
            f"rows by more than {TOLERANCE:g}, at most by {difference[worst]:.2g} (row {worst}); "
            "no label changes"
        )
        wrong &= ~few
    wrong |= flipped
    if wrong.any():
        differing = [
            f"row {row}: {show(expected[row])} became {show(found[row])}"
            + ("" if real[row] else " (an adversarial row)")
            for row in np.flatnonzero(wrong)[:5]
        ]
        raise UserError(
            f"the exported graph disagrees with the fitted model in {wrong.sum()} of "
            f"{len(wrong)} rows, so the bundle is refused (converter of the last step: "
            f"{converter_of(model)}; the export: coldstart.export.to_onnx); {HINT}:\n  "
            + "\n  ".join(differing)
        )
    return float(difference.max())


def show(values: np.ndarray) -> str:
    """Return predictions as text."""
    return str(np.round(values.astype(np.float64), 6).tolist())


def converter_of(model: Any) -> str:
    """Return the module of the function that converts a pipeline's last step."""
    if isinstance(model, CalibratedModel):
        return converter_of(model.model)
    if isinstance(model, WeightedAverage):
        return ", ".join(dict.fromkeys(converter_of(model.models[name]) for name in model.weights))
    step = getattr(model, "pipeline_", model)[-1]
    if hasattr(step, "to_onnx"):
        return type(step).__module__
    try:
        registered = get_converter(get_model_alias(type(step)))
        return str(getattr(registered, "_fct", registered).__module__)
    except (RuntimeError, ValueError):  # skl2onnx knows none
        return "none is registered"
