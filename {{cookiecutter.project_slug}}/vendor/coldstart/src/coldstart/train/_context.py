"""Model types: functions from a `Context` to a scikit-learn pipeline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import skew
from sklearn.pipeline import Pipeline

from coldstart.config._sections import NeuralSettings
from coldstart.contract._contract import Contract
from coldstart.errors import UserError

if TYPE_CHECKING:
    from coldstart.data._shards import Shards

EpochReport = Callable[[str, int, list[dict[str, float]]], None]


@dataclass(frozen=True)
class Context:
    """The arguments of a model type, which builds a pipeline from them.

    Parameters
    ----------
    contract : Contract
        The data contract: names and types of the features and the target.
    seed : int
        Seed of the random numbers.
    neural : NeuralSettings
        Settings of the neural network.
    target : ndarray of shape (n,)
        Target that the model will be fitted on: class indices, or values in the target's unit.
        Model types depend on its length and on the frequencies of its classes.
    checkpoints : Path, default=Path("checkpoints")
        Folder for the state of a training that may be interrupted.
    report : callable, optional
        Function that models call that train in epochs. Its arguments are the stage, an epoch's
        number, and the metrics of that epoch and of those after it. By default it does nothing.
    hyperparameters : dict, default={}
        Values, by name, that override the model type's own.
    stream : callable, optional
        Function from the positions of the held-out rows to the `Shards` of all rows to train on,
        for a model that streams them.
    """

    contract: Contract
    seed: int
    neural: NeuralSettings
    target: np.ndarray
    checkpoints: Path = Path("checkpoints")
    report: EpochReport = lambda *_: None
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    stream: Callable[[np.ndarray], Shards] | None = None

    @property
    def classifies(self) -> bool:
        """Whether the target is a class."""
        return self.contract.classifies

    @cached_property
    def class_sizes(self) -> np.ndarray:
        """Number of rows of each class that occurs, shape (classes,)."""
        return np.unique(self.target, return_counts=True)[1]

    def scaled(self, share: float, low: int, high: int) -> int:
        """Return a fraction of the number of rows, within limits.

        Parameters
        ----------
        share : float
            Fraction of the rows.
        low, high : int
            Smallest and largest result.

        Returns
        -------
        int
            The fraction, rounded down and clipped.
        """
        return int(np.clip(share * len(self.target), low, high))

    @cached_property
    def skewness(self) -> float:
        """Skewness of a numeric target whose logarithm is less skewed; otherwise 0."""
        if self.target.min() <= 0:
            return 0.0
        plain, logarithm = float(skew(self.target)), float(skew(np.log(self.target)))
        return plain if abs(logarithm) < plain else 0.0

    @property
    def min_category_count(self) -> int:
        """Number of rows that a category needs to be encoded as itself."""
        return self.scaled(1 / 500, 2, 10)


Family = Callable[[Context], Pipeline]
"""A model type: builds an unfitted pipeline."""


def uses_gpu(family: Family) -> Family:
    """Mark a model type that trains on a GPU if there is one.

    `make train ON=...` rents a machine with a GPU only if a model type to train is marked.

    Parameters
    ----------
    family : callable
        The model type.

    Returns
    -------
    callable
        The same model type.
    """
    family.uses_gpu = True  # type: ignore[attr-defined]
    return family


@dataclass(frozen=True)
class SearchRange:
    """Range in which a hyperparameter is searched.

    Parameters
    ----------
    low, high : float
        Ends of the range, inclusive. If both are integers, integers are searched.
    log : bool, default=False
        Whether to search on a logarithmic scale.
    """

    low: float
    high: float
    log: bool = False


ENSEMBLE = "ensemble"
"""Name of the ensemble among the model types. It has no function."""

SearchSpaces = Mapping[str, Mapping[str, SearchRange]]


def validate_families(
    names: Collection[str],
    hyperparameters: Mapping[str, Mapping[str, Any]],
    families: Mapping[str, Family],
    spaces: SearchSpaces,
) -> None:
    """Check that model types, and hyperparameters set in config.yaml, exist.

    Parameters
    ----------
    names : collection of str
        Names of model types to train.
    hyperparameters : mapping of str to mapping
        Hyperparameters by model type: the setting `tuned`.
    families : mapping of str to callable
        The model types that exist, by name.
    spaces : mapping of str to mapping
        For each model type the ranges of the hyperparameters that exist, by name.

    Raises
    ------
    UserError
        If one does not exist. The message names those that do. Also if `names` has an ensemble
        of fewer than two models.
    """
    named = [name for name in names if name != ENSEMBLE]
    for name in [*named, *hyperparameters]:
        if name not in families:
            known = ", ".join([*families, ENSEMBLE])
            raise UserError(f"there is no model {name!r}; choose among {known}")
    if len(named) < 2 and ENSEMBLE in names:
        raise UserError(
            f"models: {ENSEMBLE} is an average of trained models; name at least two others"
        )
    for name, values in hyperparameters.items():
        for value in values:
            if value not in spaces.get(name, {}):
                raise UserError(
                    f"tuned.{name} in config.yaml: there is no setting {value!r}; "
                    f"there are {', '.join(spaces.get(name, {}))}"
                )
