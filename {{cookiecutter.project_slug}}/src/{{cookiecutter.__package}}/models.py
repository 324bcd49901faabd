"""The model families: one short function each.

To add one, write a function that takes a `Context` and returns a scikit-learn
pipeline, and name it in `FAMILIES`. What skl2onnx does not convert correctly is
refused when the bundle is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import skew
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from .contract import Contract
from .errors import UserError
from .features import FrequentCategories, RobustNumbers, one_hot, preprocess
from .quantities import ScaledTarget
from .settings import Neural
from .shards import Shards
from .splitting import WIDE

Report = Callable[[str, int, list[dict[str, float]]], None]

FOLDS = 4
FOLDED_ROWS = 1_000  # from here on one part held out says as much as folds, in less time
KERNEL_ROWS = 2_000  # a kernel compares each row with each


@dataclass(frozen=True)
class Context:
    """What a family needs to know to build a model.

    Attributes
    ----------
    target
        What the model will be fitted on, shape (n,): class numbers or values. The
        families scale with its size and with how rare its classes are.
    checkpoints
        Folder for the state of a training that may be interrupted.
    report
        Called by models that have epochs: with the stage, an epoch, and the metrics of it
        and those after it.
    tuned
        Settings, by name, that take the place of the family's own.
    stream
        Gives all rows that may be learned from to a model that streams them.
    """

    contract: Contract
    seed: int
    neural: Neural
    target: np.ndarray
    checkpoints: Path = Path("checkpoints")
    report: Report = lambda *_: None
    tuned: dict[str, Any] = field(default_factory=dict)
    stream: Callable[[np.ndarray], Shards] | None = None

    @property
    def classifies(self) -> bool:
        """Whether the target is a label."""
        return self.contract.classifies

    @cached_property
    def class_sizes(self) -> np.ndarray:
        """Rows of each class that there is."""
        return np.unique(self.target, return_counts=True)[1]

    def scaled(self, share: float, low: int, high: int) -> int:
        """Return a share of the rows, within limits."""
        return int(np.clip(share * len(self.target), low, high))

    @cached_property
    def skewness(self) -> float:
        """How skewed a quantity is that is less so by its logarithm; else nothing."""
        if self.target.min() <= 0:
            return 0.0
        plain, logarithm = float(skew(self.target)), float(skew(np.log(self.target)))
        return plain if abs(logarithm) < plain else 0.0

    @property
    def frequent(self) -> int:
        """Rows that a category needs to count as one of its own."""
        return self.scaled(1 / 500, 2, 10)


def linear(context: Context) -> Pipeline:
    """Logistic regression, or ridge regression; folds choose how strongly it is regularised."""
    features = preprocess(context.contract, RobustNumbers(), one_hot(context.frequent))
    return make_pipeline(features, regularised(context))


def regularised(context: Context) -> Any:
    """Choose the strength by folds of the rows, or by one part of many."""
    strength = context.tuned.get("C")
    once = ShuffleSplit(1, test_size=0.2, random_state=context.seed)
    few = len(context.target) <= FOLDED_ROWS
    if not context.classifies:
        ridge = RidgeCV(alphas=np.logspace(-2, 4, 13), cv=None if few else once)
        ridge = Ridge(alpha=1 / strength) if strength else ridge
        if context.skewness < 0.5:
            return ridge
        by = KFold(FOLDS, shuffle=True, random_state=context.seed) if few else once
        error = "neg_mean_squared_error"
        return GridSearchCV(ScaledTarget(ridge), {"log": [False, True]}, cv=by, scoring=error)
    sizes = np.sort(context.class_sizes)
    wide = len(sizes) * len(context.contract.features) > 20_000
    many = wide or len(sizes) * len(context.target) > 100_000  # a search would take minutes
    if strength or many or sizes[-2] < 2:  # no second class that could be on both sides
        usual = 1.0 if many and not wide else 0.3
        return LogisticRegression(C=strength or usual, max_iter=100 if many else 300)
    most = 3 if len(context.contract.features) > WIDE else FOLDS
    folds = StratifiedKFold(min(most, int(sizes[-2])), shuffle=True, random_state=context.seed)
    # By log loss, which says more about few rows than a metric of ranks or labels.
    return LogisticRegressionCV(
        Cs=(0.003, 0.03, 0.3, 3.0),
        cv=folds if few else once,
        scoring="neg_log_loss",
        max_iter=100,  # what has not settled by then is regularised too little anyway
        tol=1e-3,
        l1_ratios=(0,),
        use_legacy_attributes=False,
    )


def boosting(context: Context) -> Pipeline:
    """Gradient boosting on histograms. It has its own way with missing numbers."""
    # Each iteration grows a tree for each class.
    trees = len(context.class_sizes) if context.classifies and len(context.class_sizes) > 2 else 1
    features = preprocess(
        context.contract,
        "passthrough",
        FrequentCategories(context.frequent),
        words=200,
        means=trees == 1,
    )
    features.sparse_threshold = 0
    kind = HistGradientBoostingClassifier if context.classifies else HistGradientBoostingRegressor
    settings = {
        "learning_rate": 0.05,
        "max_iter": 200,
        "max_leaf_nodes": 8,
        # Few rows fill few leaves; the library's 20 would leave 30 rows without a split.
        "min_samples_leaf": context.scaled(1 / 50, 3, 40),
        # Keeps leaves of rare classes finite: their curvature is next to nothing.
        "l2_regularization": 5.0,
    }
    if trees > 2:
        settings |= {"learning_rate": 0.1, "max_iter": int(np.clip(1000 / trees, 20, 200))}
    if not context.classifies:  # a value says more than a label, and bears more trees
        settings |= {"learning_rate": 0.1, "max_iter": 300}
    # Not by its own early stopping, which cannot hold out rows of a class that has one.
    booster = kind(early_stopping=False, random_state=context.seed, **(settings | context.tuned))
    logarithm = not context.classifies and context.skewness > 1
    return make_pipeline(features, ScaledTarget(booster, log=True) if logarithm else booster)


def forest(context: Context) -> Pipeline:
    """A random forest. Each split sees few columns, since one-hot columns are many and thin."""
    features = preprocess(
        context.contract, RobustNumbers(scale=False), one_hot(context.frequent), words=500
    )
    kind = RandomForestClassifier if context.classifies else RandomForestRegressor
    settings = {
        "n_estimators": 100,
        # Leaves grow with the rows, or the graph would.
        "min_samples_leaf": context.scaled(1 / 5000, 2, 1000),
        "max_features": 0.1 if context.classifies else 0.4,
    }
    return make_pipeline(
        features, kind(n_jobs=-1, random_state=context.seed, **(settings | context.tuned))
    )


def svm(context: Context) -> Pipeline:
    """A support vector machine, its margins calibrated to probabilities; many rows: linear."""
    features = preprocess(context.contract, RobustNumbers(), one_hot(context.frequent))
    few = len(context.target) <= KERNEL_ROWS
    if context.classifies:
        settings = {"C": 1.0 if few else 0.03} | context.tuned
        machine = SVC(**settings) if few else LinearSVC(random_state=context.seed, **settings)
        return make_pipeline(features, CalibratedClassifierCV(machine, cv=3))
    settings = {"C": 1.0 if few else 0.1} | context.tuned
    line = LinearSVR(max_iter=10_000, random_state=context.seed)
    return make_pipeline(features, ScaledTarget((SVR() if few else line).set_params(**settings)))


def tree(context: Context) -> Pipeline:
    """A single decision tree."""
    features = preprocess(
        context.contract,
        RobustNumbers(scale=False),
        FrequentCategories(context.frequent),
        words=200,
    )
    kind = DecisionTreeClassifier if context.classifies else DecisionTreeRegressor
    settings = {"max_depth": 6, "min_samples_leaf": context.scaled(1 / 50, 3, 50)}
    return make_pipeline(features, kind(random_state=context.seed, **(settings | context.tuned)))


def neural(context: Context) -> Pipeline:
    """A wide and deep network in torch."""
    from .neural import NeuralNetwork  # torch takes seconds to import

    features = preprocess(
        context.contract, RobustNumbers(), FrequentCategories(context.frequent), words=500
    )
    features.sparse_threshold = 0
    network = NeuralNetwork(
        classifies=context.classifies,
        n_categories=len(context.contract.categories),
        settings=context.neural.model_copy(update=context.tuned),
        seed=context.seed,
        checkpoints=context.checkpoints,
        report=context.report,
        stream=context.stream,
        features=features,
    )
    return make_pipeline(features, network)


# In the order of what they are worth in a second.
FAMILIES: dict[str, Callable[[Context], Pipeline]] = {
    "boosting": boosting,
    "linear": linear,
    "forest": forest,
    "svm": svm,
    "tree": tree,
    "neural": neural,
}


@dataclass(frozen=True)
class Range:
    """Values of a setting to search; whole numbers where both ends are."""

    low: float
    high: float
    log: bool = False


# Settings that a family takes from `Context.tuned`, and where `make tune` looks for them.
SPACES: dict[str, dict[str, Range]] = {
    "linear": {"C": Range(1e-4, 10.0, log=True)},
    "boosting": {
        "learning_rate": Range(0.01, 0.3, log=True),
        "max_iter": Range(50, 800, log=True),
        "max_leaf_nodes": Range(4, 64, log=True),
        "min_samples_leaf": Range(2, 100, log=True),
        "l2_regularization": Range(0.01, 100.0, log=True),
    },
    "forest": {"max_features": Range(0.05, 1.0), "min_samples_leaf": Range(1, 50, log=True)},
    "svm": {"C": Range(1e-3, 100.0, log=True)},
    "tree": {"max_depth": Range(2, 16), "min_samples_leaf": Range(2, 200, log=True)},
    "neural": {
        "learning_rate": Range(3e-4, 3e-2, log=True),
        "weight_decay": Range(1e-4, 1.0, log=True),
        "dropout": Range(0.0, 0.6),
        "batch_size": Range(64, 2048, log=True),
    },
}


def check_choice(names: Iterable[str], tuned: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse families and settings of them that there are not.

    Raises
    ------
    UserError
        With those that there are.
    """
    for name in [*names, *tuned]:
        if name not in FAMILIES:
            raise UserError(f"there is no model {name!r}; choose among {', '.join(FAMILIES)}")
    for name, settings in tuned.items():
        for setting in settings:
            if setting not in SPACES.get(name, {}):
                raise UserError(
                    f"tuned.{name} in config.yaml: there is no setting {setting!r}; "
                    f"there are {', '.join(SPACES.get(name, {}))}"
                )


def unsuited(contract: Contract, target: np.ndarray) -> dict[str, str]:
    """Families that do not suit a table, and why.

    Parameters
    ----------
    target
        Of the rows of the smallest part that a model is fitted on.
    """
    rows = len(target)
    why = {}
    if rows < 60:
        why["boosting"] = f"{rows} rows are too few"
    if rows < 2_000:
        why["neural"] = f"{rows} rows are too few"
    if contract.classifies:
        sizes = np.unique(target, return_counts=True)[1]
        if sizes.min() < 3:
            why["svm"] = "a class has fewer than three rows"
        elif len(sizes) > 20:
            why["svm"] = f"{len(sizes)} classes are too many"
        if len(sizes) * rows > 2_000_000:
            why["forest"] = f"{len(sizes)} classes of {rows} rows would make it too large"
    return why
