"""The neural network as a scikit-learn estimator, one model type among the others."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from coldstart.config._sections import NeuralSettings
from coldstart.data._shards import Shards
from coldstart.nn._batches import Batch, InMemory, Rows, Streamed
from coldstart.nn._job import Loop, Network, TrainingJob, launch
from coldstart.train._context import EpochReport

HOLDOUT = 0.15  # fraction of the rows, the last ones, that decides when to stop


class NeuralNetwork(BaseEstimator):  # type: ignore[misc]
    """The network as a scikit-learn estimator.

    Its input has the numeric columns first and then the category codes, which are integers from 0.
    `fit` holds out the last rows to find the number of epochs, and then trains on all rows for that
    many.

    Parameters
    ----------
    network : callable
        Function that builds the module. Its arguments are the number of numeric columns, the number
        of categories of each further column, the number of outputs, and the settings.
    loop : callable
        Function of a Fabric and a `TrainingJob` that trains a module on a rank and returns a
        `Result`.
    classifies : bool
        Whether the target is a class index. Otherwise it is a number.
    n_categories : int
        Number of columns at the end of the input that are category codes.
    settings : NeuralSettings
        Settings of the network and its training.
    seed : int
        Seed of the random numbers.
    checkpoints : Path
        Folder for checkpoints. A checkpoint is identified by the data, the settings and the seed.
    report : callable
        Function that is called with the stage, an epoch, and the metrics of that epoch and of those
        after it.
    stream : callable, optional
        Function from the positions of the held-out rows to the `Shards` of all rows to train on. By
        default the rows of `fit` are trained on.
    features : transformer, optional
        Preprocessing of streamed rows, fitted on the rows of `fit`.
    """

    def __init__(
        self,
        network: Network,
        loop: Loop,
        classifies: bool,
        n_categories: int,
        settings: NeuralSettings,
        seed: int,
        checkpoints: Path,
        report: EpochReport,
        stream: Callable[[np.ndarray], Shards] | None = None,
        features: Any = None,
    ) -> None:
        self.network = network
        self.loop = loop
        self.classifies = classifies
        self.n_categories = n_categories
        self.settings = settings
        self.seed = seed
        self.checkpoints = checkpoints
        self.report = report
        self.stream = stream
        self.features = features

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Self:
        """Find the number of epochs, then train on all rows, or on all streamed rows.

        Parameters
        ----------
        X : ndarray of float32, shape (n, columns)
            Numeric columns, then category codes.
        y : ndarray of shape (n,)
            Class indices, or values in the target's unit.
        sample_weight : ndarray of shape (n,), optional
            Weight of each row. One of weight 0 counts as absent.

        Returns
        -------
        NeuralNetwork
            The same object.
        """
        inputs = torch.tensor(np.asarray(X, dtype=np.float32))
        weight = np.ones(len(inputs)) if sample_weight is None else np.asarray(sample_weight)
        self.mean_, self.deviation_ = 0.0, 1.0
        if self.classifies:
            self.classes_, numbers = np.unique(y, return_inverse=True)
            targets = torch.tensor(numbers)
        else:
            self.mean_ = float(np.average(y, weights=weight))
            variance = np.average((y - self.mean_) ** 2, weights=weight)
            self.deviation_ = float(np.sqrt(variance)) or 1.0
            scaled = (y - self.mean_) / self.deviation_
            targets = torch.tensor(scaled, dtype=torch.float32)[:, None]

        n_numbers = inputs.shape[1] - self.n_categories
        cardinalities = [int(column.max()) + 1 for column in inputs.T[n_numbers:]]
        n_outputs = len(self.classes_) if self.classifies else 1
        shape = (n_numbers, cardinalities, n_outputs)
        self.width_ = inputs.shape[1]
        present = np.flatnonzero(weight)
        inputs, targets = inputs[present], targets[present]
        weights = torch.tensor(weight[present], dtype=torch.float32)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        decisive = json.dumps(
            [self.settings.model_dump(exclude=NeuralSettings.EXECUTION), self.seed]
        )
        content = b"".join(tensor.numpy().tobytes() for tensor in (inputs, targets, weights))
        identity = hashlib.sha256(content + decisive.encode()).hexdigest()[:16]

        def part(among: slice) -> Batch:
            chosen = weights[among]
            return inputs[among], targets[among], chosen / chosen.mean()

        def rows(stage: str, kept: int) -> Rows:
            if not self.stream:
                return InMemory(*part(slice(kept)))
            shards = self.stream(present[kept:])
            whole, groups = sum(shards.counts), len(shards.groups)
            print(f"neural {stage}: {whole:,} rows an epoch, streamed from {groups} row group(s)")
            scales = self.mean_, self.deviation_, float(weights.mean())
            return Streamed(shards, self.features.transform, *scales)

        def job(stage: str, epochs: int, kept: int, held_out: Any) -> TrainingJob:
            return TrainingJob(
                stage=stage,
                shape=shape,
                settings=self.settings,
                seed=self.seed,
                epochs=epochs,
                train=rows(stage, kept),
                held_out=held_out,
                checkpoint=self.checkpoints / f"{identity}-{stage}.ckpt",
                report=self.report,
            )

        kept = int(len(inputs) * (1 - HOLDOUT))
        held_out = part(slice(kept, None))
        _, self.epochs_ = launch(self.loop, job("search", self.settings.epochs, kept, held_out))
        trained, _ = launch(self.loop, job("fit", self.epochs_, len(inputs), None))
        self.network_ = self.network(*shape, self.settings).eval()
        tensors = {name: torch.from_numpy(array) for name, array in trained.items()}
        self.network_.load_state_dict(tensors)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        """Whether `fit` has run."""
        return hasattr(self, "network_")

    def outputs(self, inputs: Tensor) -> Tensor:
        """Return the predictions that are exported.

        Parameters
        ----------
        inputs : Tensor of float32, shape (n, columns)
            Numeric columns, then category codes.

        Returns
        -------
        Tensor of float32
            Probabilities of shape (n, classes), or values in the target's unit of shape (n, 1).
        """
        scores: Tensor = self.network_(inputs)
        if self.classifies:
            return scores.softmax(dim=1)
        return scores * self.deviation_ + self.mean_

    @torch.no_grad()
    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return class probabilities, or the values of a regression.

        Parameters
        ----------
        X : ndarray of shape (n, columns)
            Numeric columns, then category codes.

        Returns
        -------
        ndarray of float32
            Probabilities of shape (n, classes), or values of shape (n, 1).
        """
        values: np.ndarray = self.outputs(torch.tensor(np.asarray(X, dtype=np.float32))).numpy()
        return values

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return class indices, or values in the target's unit.

        Parameters
        ----------
        X : ndarray of shape (n, columns)
            Numeric columns, then category codes.

        Returns
        -------
        ndarray of shape (n,)
            The predictions.
        """
        outputs = self.predict_proba(X)
        return self.classes_[outputs.argmax(axis=1)] if self.classifies else outputs[:, 0]

    def to_onnx(self) -> onnx.ModelProto:
        """Export the network.

        Returns
        -------
        onnx.ModelProto
            Graph from `inputs`, this estimator's input, to `prediction`, the result of `outputs`.
        """

        class Exported(nn.Module):
            def __init__(self, estimator: NeuralNetwork) -> None:
                super().__init__()
                self.network = estimator.network_
                self.outputs = estimator.outputs

            def forward(self, inputs: Tensor) -> Tensor:
                return self.outputs(inputs)

        width = self.width_
        for noisy in ("torch.onnx", "onnxscript"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                Exported(self).eval(),
                (torch.zeros(2, width),),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("rows")},),
                input_names=["inputs"],
                output_names=["prediction"],
                opset_version=21,
                verbose=False,
            )
        assert program is not None
        return program.model_proto
