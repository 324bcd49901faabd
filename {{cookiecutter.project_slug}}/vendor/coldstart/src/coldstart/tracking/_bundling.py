"""Writing a bundle: first the graph, then metrics, card and plots once it was evaluated."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
from matplotlib.figure import Figure

from coldstart.bundle._bundle import (
    CARD,
    CONTRACT,
    EXAMPLES,
    MODEL,
    REFERENCE,
    TESTED,
    Manifest,
    write_checksums,
)
from coldstart.bundle._conformal import Conformal
from coldstart.bundle._predictor import BundlePredictor
from coldstart.data._dataset import Dataset
from coldstart.errors import UserError
from coldstart.model_card._examples import choose_examples
from coldstart.tracking._tested import keep_tested
from coldstart.train._decision import explain_decision, tune_decision
from coldstart.train._ensemble import WeightedAverage
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._sigmoid import CalibratedModel

REFERENCE_ROWS = 500
REFERENCE_BYTES = 20e6  # about; of pictures there are fewer rows
TESTED_NUMBERS = 200_000  # that are kept of the predictions of the test rows
LARGEST_GRAPH = 2_000_000_000  # bytes of weights that stay in the graph's own file
LIMIT = 2**31  # bytes of that file


def make_manifest(
    family: str,
    model: Any,
    dataset: Dataset,
    validation: HeldOutPredictions,
    provenance: dict[str, Any],
    conformal: Conformal | None = None,
) -> Manifest:
    """Describe a fitted model: its classes, and how a label is chosen from probabilities.

    Parameters
    ----------
    family : str
        Name of the model type.
    model : Pipeline, DifferencedRegressor, WeightedAverage or CalibratedModel
        The fitted model.
    dataset : Dataset
        The prepared rows.
    validation : HeldOutPredictions
        Predictions of the validation rows, on which the decision threshold is chosen.
    provenance : dict
        Where the model comes from.
    conformal : Conformal, optional
        Prediction intervals or sets, by `conformalize`.

    Returns
    -------
    Manifest
        The manifest, without metrics.
    """
    numbers = getattr(model, "classes_", [])
    sigmoid = model.sigmoid if isinstance(model, CalibratedModel) else None
    inner = model.model if isinstance(model, CalibratedModel) else model
    decision = tune_decision(
        validation.target, validation.prediction[0], dataset.objective, validation.sample_weight
    )
    if "weights" in decision:
        decision["weights"] = [decision["weights"][number] for number in numbers]
    return Manifest(
        family=family,
        target=dataset.contract.target,
        members=dict(inner.weights) if isinstance(inner, WeightedAverage) else {},
        calibration=asdict(sigmoid) if sigmoid else {},
        classes=[dataset.classes[number] for number in numbers],
        derived=list(dataset.contract.derived),
        decision=explain_decision(dataset.objective, len(dataset.classes)) if decision else "",
        conformal=conformal,
        provenance=provenance,
        **decision,
    )


def write_bundle(
    folder: Path, graph: onnx.ModelProto, manifest: Manifest, contract: Path
) -> BundlePredictor:
    """Write the files of a bundle that are needed to predict, and load it.

    Parameters
    ----------
    folder : Path
        An empty folder.
    graph : onnx.ModelProto
        The exported model. If it is large, its weights are moved out of it.
    manifest : Manifest
        Its manifest.
    contract : Path
        File of the data contract, schema.yaml.

    Returns
    -------
    BundlePredictor
        The loaded bundle.

    Raises
    ------
    UserError
        If the graph is too large for ONNX.
    """
    save_graph(graph, folder / MODEL)
    shutil.copy(contract, folder / CONTRACT)
    write_checksums(folder, manifest)
    return BundlePredictor(folder)


def save_graph(graph: onnx.ModelProto, path: Path) -> None:
    """Save a graph; if it is large, with its weights in a second file beside it.

    Raises
    ------
    UserError
        If what is not a weight, such as trees, is too large for ONNX.
    """
    weights = sum(len(tensor.raw_data) for tensor in graph.graph.initializer)
    beside = weights > LARGEST_GRAPH
    onnx.save(graph, path, save_as_external_data=beside, location=f"{path.name}.data")
    if path.stat().st_size >= LIMIT:  # protobuf writes such a file, and cannot read it
        path.unlink()
        raise UserError(
            "the model is larger than the 2 GB that ONNX stores of trees and the like: train fewer "
            "or smaller trees, in models.py"
        )


def complete_bundle(
    predictor: BundlePredictor,
    manifest: Manifest,
    dataset: Dataset,
    test: HeldOutPredictions,
    figures: Mapping[str, Figure],
    card: str,
) -> None:
    """Add what describes an evaluated model: metrics, card, plots, examples, reference rows.

    Parameters
    ----------
    predictor : BundlePredictor
        The bundle that `write_bundle` wrote.
    manifest : Manifest
        With its metrics.
    dataset : Dataset
        The prepared rows.
    test : HeldOutPredictions
        Predictions of the test rows.
    figures : mapping
        Plots, by file name.
    card : str
        The model card, in Markdown.
    """
    folder = predictor.folder
    keep_tested(test, folder / TESTED, TESTED_NUMBERS)
    reference(dataset, predictor).write_csv(folder / REFERENCE)
    examples = choose_examples(dataset, manifest, test)
    (folder / EXAMPLES).write_text(json.dumps(examples, indent=2), encoding="utf-8")
    for name, figure in figures.items():
        figure.savefig(folder / name)
    (folder / CARD).write_text(card, encoding="utf-8")
    write_checksums(folder, manifest)


def reference(dataset: Dataset, predictor: BundlePredictor) -> pl.DataFrame:
    """Return some rows that the model was fitted on, with its predictions.

    Later rows are compared with them, and a bundle is tried with them before it serves.
    """
    fitted = dataset.fitting_rows
    random = np.random.default_rng(0)
    features = dataset.table.select(list(dataset.contract.features))
    each = features.estimated_size() / len(features)  # bytes; of pictures many
    count = min(REFERENCE_ROWS, len(fitted), max(50, int(REFERENCE_BYTES / each)))
    rows = random.choice(fitted, count, replace=False)
    table = features[rows]
    prediction = predictor.predict(dataset.features(rows))
    return table.with_columns(pl.Series("__prediction__", prediction[:, -1]))
