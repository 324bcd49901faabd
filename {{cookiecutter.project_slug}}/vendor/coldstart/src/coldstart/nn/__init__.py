"""What a torch training loop needs: batches, ranks, checkpoints, an estimator around it."""

from coldstart.nn._checkpointer import Checkpointer
from coldstart.nn._estimator import NeuralNetwork
from coldstart.nn._job import Result, TrainingJob

__all__ = ["Checkpointer", "NeuralNetwork", "Result", "TrainingJob"]
