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


def speed_by_height(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the airspeed in knots, divided by 1 plus the height in thousands of feet."""
    return columns["speed"] / (1 + columns["height"] / 1000)  # 1: finite on the ground


# A derived column whose inputs are not in schema.yaml is left out, and `make train` says so.
DERIVED: dict[str, DerivedColumn] = {"speed_by_height": speed_by_height}


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
    words : int, default=0
        How many words of each text, those most associated with the target, become columns of 0
        and 1. With 0, texts become TF-IDF weights of all words.
    means : bool, default=False
        Whether categories are also encoded as the mean of the target.
    dense : bool, default=False
        Whether the model needs a dense matrix.

    Returns
    -------
    ColumnTransformer
        Unfitted; its input is a frame of the encoded columns.
    """
    # Imported here, since the API imports this module, and has no scikit-learn.
    from sklearn.compose import ColumnTransformer
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import TargetEncoder

    from coldstart.train import text_features

    columns = contract.encoded_columns()
    categorical = [columns.index(name) for name in contract.categories]
    texts = {name: columns.index(name) for name in contract.texts}
    numeric = [i for i in range(len(columns)) if i not in (*categorical, *texts.values())]
    steps: list[tuple[str, Any, Any]] = []
    if numeric:
        steps.append(("numbers", numbers, numeric))
    for name, position in texts.items():
        steps.append((name, text_features(words, contract.classifies), position))
    if categorical:
        steps.append(("categories", categories, categorical))
        if means:
            folds = KFold(5, shuffle=True, random_state=0)
            # Given, since "auto" takes whole numbers for classes.
            kind = "binary" if contract.classifies else "continuous"
            steps.append(("means", TargetEncoder(target_type=kind, cv=folds), categorical))
    return ColumnTransformer(steps, sparse_threshold=0.0 if dense else 1.0)


def one_hot(min_frequency: int) -> Any:
    """Build a transformer with one column for each frequent category, and one for all others."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    from coldstart.train import FrequentCategories

    return make_pipeline(FrequentCategories(min_frequency), OneHotEncoder(handle_unknown="ignore"))
