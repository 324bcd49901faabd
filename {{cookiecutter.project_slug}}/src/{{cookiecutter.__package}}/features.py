"""What each model type is shown: derived columns, and the steps before the model.

The steps are fitted on training rows alone and exported with the model, so that what serves is
what was evaluated. Derived columns are computed by `make train`, `make predict` and the API alike,
from the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from coldstart.contract import Contract, DerivedColumn

# `columns` holds an array for each feature of schema.yaml: float64 with NaN where a value is
# missing, or strings. A column of type date comes as its parts: `date.year_sin`, `date.year_cos`
# (the day of the year on a circle), `date.weekday`, and `date.hour` where there is a time.


def climb_speed(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the airspeed in knots for each 1,000 feet of height."""
    return columns["speed"] / (columns["height"] / 1000 + 1)


# A derived column whose inputs are not in schema.yaml is left out, and `make train` says so.
DERIVED: dict[str, DerivedColumn] = {"climb_speed": climb_speed}


def preprocess(
    contract: Contract,
    numbers: Any,
    categories: Any,
    words: int = 0,
    means: bool = False,
    dense: bool = False,
) -> Any:
    """Build the first step of a pipeline: one transformer for each kind of column.

    Parameters
    ----------
    contract : Contract
        What the columns are.
    numbers : transformer
        Applied to the numeric columns.
    categories : transformer
        Applied to the columns that hold categories.
    words : int
        For trees: how many words of each text, those that tell most of the target, become
        columns of 0 and 1. By default texts become TF-IDF weights of all words.
    means : bool
        Whether categories are also encoded as the mean of the target.
    dense : bool
        Whether the model needs a dense matrix.

    Returns
    -------
    ColumnTransformer
        Unfitted; its input is a frame of the encoded columns.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import TargetEncoder

    from coldstart.train import text_features  # scikit-learn: the API imports this module, too

    columns = contract.encoded_columns()
    labels = [columns.index(name) for name in contract.categories]
    texts = {name: columns.index(name) for name in contract.texts}
    quantities = [i for i in range(len(columns)) if i not in (*labels, *texts.values())]
    steps: list[tuple[str, Any, Any]] = []
    if quantities:
        steps.append(("numbers", numbers, quantities))
    for name, place in texts.items():
        steps.append((name, text_features(words, contract.classifies), place))
    if labels:
        steps.append(("categories", categories, labels))
        if means:
            folds = KFold(5, shuffle=True, random_state=0)
            kind = "binary" if contract.classifies else "continuous"
            steps.append(("means", TargetEncoder(target_type=kind, cv=folds), labels))
    return ColumnTransformer(steps, sparse_threshold=0.0 if dense else 1.0)


def one_hot(min_frequency: int) -> Any:
    """Build a transformer with one column for each frequent category, and one for all others."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    from coldstart.train import FrequentCategories

    return make_pipeline(FrequentCategories(min_frequency), OneHotEncoder(handle_unknown="ignore"))
