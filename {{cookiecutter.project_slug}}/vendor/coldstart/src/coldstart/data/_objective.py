"""The objective: the metric that models are chosen by, and how the threshold is chosen."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from coldstart._markdown import percent
from coldstart.config._sections import DecisionSettings, Metric
from coldstart.config._settings import Settings
from coldstart.contract._contract import Contract
from coldstart.errors import UserError

RARE = 0.2  # share of the second class below which average precision tells more than ROC AUC
SET = "config.yaml sets it"
REGRESSION: tuple[Metric, ...] = (
    "r2",
    "neg_mean_absolute_error",
    "neg_root_mean_squared_error",
)
CLASSES: tuple[Metric, ...] = (
    "roc_auc",
    "accuracy",
    "balanced_accuracy",
    "neg_log_loss",
    "f1_macro",
)
TWO_CLASSES: tuple[Metric, ...] = ("average_precision", "f1", *CLASSES)


@dataclass(frozen=True)
class Objective:
    """What models are chosen by.

    Parameters
    ----------
    metric : str, default=""
        Name of the primary metric. By default it follows from the number of classes.
    reason : str, default=""
        Why it is this one.
    decision : DecisionSettings, optional
        How the decision threshold is chosen.
    """

    metric: str = ""
    reason: str = ""
    decision: DecisionSettings = field(default_factory=DecisionSettings)

    def __str__(self) -> str:
        other = "" if self.reason == SET else " (metric in config.yaml chooses another)"
        return f"{self.metric}, since {self.reason}{other}"


def choose_objective(
    settings: Settings, contract: Contract, target: pl.Series, classes: list[str]
) -> Objective:
    """Return the objective that config.yaml sets, or that suits the target.

    Of two classes the rarer one is what is looked for: where it is rare, ROC AUC is high for
    nearly all models, and average precision tells them apart. Of more classes each counts the
    same, in macro F1.

    Parameters
    ----------
    settings : Settings
        The project's settings: `metric` and `decision`.
    contract : Contract
        The data contract.
    target : polars.Series
        The target of all rows.
    classes : list of str
        Names of the classes. Empty for regression.

    Raises
    ------
    UserError
        If a setting does not suit the target.

    References
    ----------
    Saito and Rehmsmeier, "The Precision-Recall Plot Is More Informative than the ROC Plot When
    Evaluating Binary Classifiers on Imbalanced Datasets", PLOS ONE 10(3), 2015.
    """
    kind = {0: "a number", 2: "one of two classes"}.get(
        len(classes), f"one of {len(classes)} classes"
    )
    suitable = {0: REGRESSION, 2: TWO_CLASSES}.get(len(classes), CLASSES)
    if settings.metric and settings.metric not in suitable:
        raise UserError(
            f"metric in config.yaml is {settings.metric}, and {contract.target} is {kind}; "
            f"choose among {', '.join(suitable)}"
        )
    if len(classes) != 2 and settings.decision != DecisionSettings():
        raise UserError(
            f"decision in config.yaml is for two classes, and {contract.target} is {kind}: "
            "remove it"
        )
    if settings.metric:
        return Objective(settings.metric, SET, settings.decision)
    if not classes:
        return Objective("r2", f"{contract.target} is a number", settings.decision)
    if len(classes) > 2:
        return Objective(
            "f1_macro", f"each of the {len(classes)} classes counts the same", settings.decision
        )
    share = int((target.cast(pl.String) == classes[1]).sum()) / len(target)
    reason = f"{percent(share)} of the rows are {classes[1]!r}"
    metric: Metric = "average_precision" if share < RARE else "roc_auc"
    return Objective(metric, reason, settings.decision)
