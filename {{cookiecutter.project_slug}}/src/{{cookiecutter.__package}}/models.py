"""The model families: one short function each.

To add one, write a function that takes a `Context` and returns a scikit-learn
pipeline, and name it in `FAMILIES`. What skl2onnx does not convert correctly is
refused when the bundle is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC, LinearSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from .contract import Contract
from .features import FrequentCategories, RobustNumbers, one_hot, preprocess
from .settings import Neural

Report = Callable[[str, int, list[dict[str, float]]], None]


@dataclass(frozen=True)
class Context:
    """What a family needs to know to build a model.

    Attributes
    ----------
    checkpoints
        Folder for the state of a training that may be interrupted.
    report
        Called by models that have epochs: with the stage, an epoch, and the metrics of it
        and those after it.
    """

    contract: Contract
    seed: int
    neural: Neural
    checkpoints: Path
    report: Report


def linear(context: Context) -> Pipeline:
    """Logistic regression, or ridge regression."""
    features = preprocess(context.contract, RobustNumbers(), one_hot())
    classifies = context.contract.classifies
    return make_pipeline(
        features, LogisticRegression(C=0.3, max_iter=1000) if classifies else Ridge()
    )


def tree(context: Context) -> Pipeline:
    """A single decision tree."""
    features = preprocess(context.contract, RobustNumbers(scale=False), FrequentCategories())
    kind = DecisionTreeClassifier if context.contract.classifies else DecisionTreeRegressor
    return make_pipeline(
        features, kind(max_depth=6, min_samples_leaf=50, random_state=context.seed)
    )


def svm(context: Context) -> Pipeline:
    """A linear support vector machine, its margins calibrated to probabilities."""
    features = preprocess(context.contract, RobustNumbers(), one_hot())
    if context.contract.classifies:
        machine = LinearSVC(C=0.03, random_state=context.seed)
        return make_pipeline(features, CalibratedClassifierCV(machine, cv=3))
    return make_pipeline(features, LinearSVR(max_iter=10_000, random_state=context.seed))


def forest(context: Context) -> Pipeline:
    """A random forest. Each split sees few columns, since one-hot columns are many and thin."""
    features = preprocess(context.contract, RobustNumbers(scale=False), one_hot())
    classifies = context.contract.classifies
    kind = RandomForestClassifier if classifies else RandomForestRegressor
    return make_pipeline(
        features,
        kind(
            n_estimators=100,
            min_samples_leaf=2,
            max_features=0.1 if classifies else 0.4,
            n_jobs=-1,
            random_state=context.seed,
        ),
    )


def boosting(context: Context) -> Pipeline:
    """Gradient boosting on histograms. It has its own way with missing numbers."""
    features = preprocess(context.contract, "passthrough", FrequentCategories())
    features.sparse_threshold = 0
    classifies = context.contract.classifies
    kind = HistGradientBoostingClassifier if classifies else HistGradientBoostingRegressor
    return make_pipeline(
        features,
        kind(
            learning_rate=0.05,
            max_iter=200,
            max_leaf_nodes=8,
            min_samples_leaf=40,
            l2_regularization=5.0,
            early_stopping=False,
            random_state=context.seed,
        ),
    )


def neural(context: Context) -> Pipeline:
    """A wide and deep network in torch."""
    from .neural import NeuralNetwork  # torch takes seconds to import

    features = preprocess(context.contract, RobustNumbers(), FrequentCategories())
    features.sparse_threshold = 0
    network = NeuralNetwork(
        classifies=context.contract.classifies,
        n_categories=len(context.contract.categories),
        settings=context.neural,
        seed=context.seed,
        checkpoints=context.checkpoints,
        report=context.report,
    )
    return make_pipeline(features, network)


FAMILIES: dict[str, Callable[[Context], Pipeline]] = {
    "linear": linear,
    "tree": tree,
    "svm": svm,
    "forest": forest,
    "boosting": boosting,
    "neural": neural,
}
