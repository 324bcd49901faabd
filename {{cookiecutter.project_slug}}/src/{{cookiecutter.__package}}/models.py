"""The model types: one short function each.

To add one, write a function that takes a `Context` and returns a scikit-learn
pipeline, and name it in `FAMILIES`. A model whose ONNX graph predicts otherwise than
the fitted pipeline is refused when it is exported.
"""

from __future__ import annotations

from typing import Any

import numpy as np
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

from coldstart.contract import Contract
from coldstart.train import (
    Context,
    Family,
    FrequentCategories,
    RobustNumbers,
    ScaledTarget,
    SearchRange,
    uses_gpu,
)

from .features import one_hot, preprocess

FOLDS = 4
MAX_FOLDED_ROWS = 1_000  # with more rows, one held-out part says as much as folds, in less time
MANY_FEATURES = 300  # with more, one fold less: each fit takes long
MAX_KERNEL_ROWS = 2_000  # a kernel compares each row with each other


def linear(context: Context) -> Pipeline:
    """Build a logistic or ridge regression, with its regularization chosen on held-out rows."""
    features = preprocess(context.contract, RobustNumbers(), one_hot(context.min_category_count))
    model = logistic_regression(context) if context.classifies else ridge_regression(context)
    return make_pipeline(features, model)


def ridge_regression(context: Context) -> Any:
    """Choose alpha, and for a skewed target whether to fit its logarithm."""
    few_rows = len(context.target) <= MAX_FOLDED_ROWS
    held_out = ShuffleSplit(1, test_size=0.2, random_state=context.seed)
    if inverse_strength := context.hyperparameters.get("C"):
        ridge: Any = Ridge(alpha=1 / inverse_strength)
    else:  # of few rows, each is held out once, in closed form
        ridge = RidgeCV(alphas=np.logspace(-2, 4, 13), cv=None if few_rows else held_out)
    if context.skewness < 0.5:
        return ridge
    return GridSearchCV(
        ScaledTarget(ridge),
        {"log": [False, True]},
        cv=KFold(FOLDS, shuffle=True, random_state=context.seed) if few_rows else held_out,
        scoring="neg_mean_squared_error",
    )


def logistic_regression(context: Context) -> Any:
    """Choose C, the inverse strength of regularization, by k-fold or by one held-out part."""
    given = context.hyperparameters.get("C")
    class_sizes = np.sort(context.class_sizes)
    wide = len(class_sizes) * len(context.contract.features) > 20_000
    slow = wide or len(class_sizes) * len(context.target) > 100_000  # a search takes minutes
    if given or slow or class_sizes[-2] < 2:  # a fold needs a row of a second class
        default = 1.0 if slow and not wide else 0.3
        return LogisticRegression(C=given or default, max_iter=100 if slow else 300)
    n_folds = 3 if len(context.contract.features) > MANY_FEATURES else FOLDS
    n_folds = min(n_folds, int(class_sizes[-2]))
    if len(context.target) <= MAX_FOLDED_ROWS:
        cv: Any = StratifiedKFold(n_folds, shuffle=True, random_state=context.seed)
    else:
        cv = ShuffleSplit(1, test_size=0.2, random_state=context.seed)
    return LogisticRegressionCV(
        Cs=(0.003, 0.03, 0.3, 3.0),
        cv=cv,
        scoring="neg_log_loss",  # less noisy on few rows than a metric of ranks or labels
        max_iter=100,  # a C for which this is too few is too large anyway
        tol=1e-3,
        l1_ratios=(0,),
        use_legacy_attributes=False,
    )


def boosting(context: Context) -> Pipeline:
    """Build gradient boosting on histograms, which handles missing numbers by itself."""
    # Each iteration grows a tree for each class.
    trees = len(context.class_sizes) if context.classifies and len(context.class_sizes) > 2 else 1
    features = preprocess(
        context.contract,
        "passthrough",
        FrequentCategories(context.min_category_count),
        words=200,
        means=trees == 1,
        dense=True,
    )
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
    if not context.classifies:  # a number holds more information than a class: more trees
        settings |= {"learning_rate": 0.1, "max_iter": 300}
    if len(context.target) <= MAX_FOLDED_ROWS:  # fewer, larger steps: it is fitted many times
        settings |= {"learning_rate": 0.1, "max_iter": min(100, settings["max_iter"])}
    # Without its early stopping, which fails if a class has a single row.
    booster = kind(
        early_stopping=False, random_state=context.seed, **(settings | context.hyperparameters)
    )
    logarithm = not context.classifies and context.skewness > 1
    return make_pipeline(features, ScaledTarget(booster, log=True) if logarithm else booster)


def forest(context: Context) -> Pipeline:
    """Build a random forest. A split sees few columns, since one-hot columns are many and thin."""
    features = preprocess(
        context.contract, RobustNumbers(scale=False), one_hot(context.min_category_count), words=500
    )
    kind = RandomForestClassifier if context.classifies else RandomForestRegressor
    settings = {
        "n_estimators": 100,
        # Leaves grow with the rows, or the graph would.
        "min_samples_leaf": context.scaled(1 / 5000, 2, 1000),
        "max_features": 0.1 if context.classifies else 0.4,
    }
    settings["n_jobs"] = 1 if len(context.target) <= MAX_FOLDED_ROWS else -1  # threads cost time
    return make_pipeline(
        features, kind(random_state=context.seed, **(settings | context.hyperparameters))
    )


def svm(context: Context) -> Pipeline:
    """Build a support vector machine, calibrated to probabilities; linear if rows are many."""
    features = preprocess(context.contract, RobustNumbers(), one_hot(context.min_category_count))
    few = len(context.target) <= MAX_KERNEL_ROWS
    if context.classifies:
        settings = {"C": 1.0 if few else 0.03} | context.hyperparameters
        machine = SVC(**settings) if few else LinearSVC(random_state=context.seed, **settings)
        # One machine in the end, calibrated by what three others predicted of held-out rows.
        return make_pipeline(features, CalibratedClassifierCV(machine, cv=3, ensemble=False))
    settings = {"C": 1.0 if few else 0.1} | context.hyperparameters
    line = LinearSVR(max_iter=10_000, random_state=context.seed)
    return make_pipeline(features, ScaledTarget((SVR() if few else line).set_params(**settings)))


def tree(context: Context) -> Pipeline:
    """Build a single decision tree."""
    features = preprocess(
        context.contract,
        RobustNumbers(scale=False),
        FrequentCategories(context.min_category_count),
        words=200,
    )
    kind = DecisionTreeClassifier if context.classifies else DecisionTreeRegressor
    settings = {"max_depth": 6, "min_samples_leaf": context.scaled(1 / 50, 3, 50)}
    return make_pipeline(
        features, kind(random_state=context.seed, **(settings | context.hyperparameters))
    )


@uses_gpu
def neural(context: Context) -> Pipeline:
    """Build a linear model plus several perceptrons that share layers, in torch."""
    from coldstart.nn import NeuralNetwork  # torch takes seconds to import

    from .network import Network, train_network

    features = preprocess(
        context.contract,
        RobustNumbers(),
        FrequentCategories(context.min_category_count),
        words=500,
        dense=True,
    )
    network = NeuralNetwork(
        network=Network,
        loop=train_network,
        classifies=context.classifies,
        n_categories=len(context.contract.categories),
        settings=context.neural.model_copy(update=context.hyperparameters),
        seed=context.seed,
        checkpoints=context.checkpoints,
        report=context.report,
        stream=context.stream,
        features=features,
    )
    return make_pipeline(features, network)


# In the order in which a time budget tries them: the best score for a second of fitting first.
FAMILIES: dict[str, Family] = {
    "boosting": boosting,
    "linear": linear,
    "forest": forest,
    "svm": svm,
    "tree": tree,
    "neural": neural,
}


# Hyperparameters that `make tune` searches; a function gets them as `context.hyperparameters`.
SEARCH_SPACES: dict[str, dict[str, SearchRange]] = {
    "linear": {"C": SearchRange(1e-4, 10.0, log=True)},
    "boosting": {
        "learning_rate": SearchRange(0.01, 0.3, log=True),
        "max_iter": SearchRange(50, 800, log=True),
        "max_leaf_nodes": SearchRange(4, 64, log=True),
        "min_samples_leaf": SearchRange(2, 100, log=True),
        "l2_regularization": SearchRange(0.01, 100.0, log=True),
    },
    "forest": {
        "max_features": SearchRange(0.05, 1.0),
        "min_samples_leaf": SearchRange(1, 50, log=True),
    },
    "svm": {"C": SearchRange(1e-3, 100.0, log=True)},
    "tree": {"max_depth": SearchRange(2, 16), "min_samples_leaf": SearchRange(2, 200, log=True)},
    "neural": {
        "learning_rate": SearchRange(3e-4, 3e-2, log=True),
        "weight_decay": SearchRange(1e-4, 1.0, log=True),
        "dropout": SearchRange(0.0, 0.6),
        "batch_size": SearchRange(64, 2048, log=True),
    },
}


def unsuitable_families(contract: Contract, target: np.ndarray) -> dict[str, str]:
    """Return the model types that do not suit the rows, and why.

    Parameters
    ----------
    contract : Contract
        The data contract.
    target : ndarray of shape (n,)
        Targets of the smallest part that a model is fitted on.

    Returns
    -------
    dict
        From a model type's name to the reason.
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
