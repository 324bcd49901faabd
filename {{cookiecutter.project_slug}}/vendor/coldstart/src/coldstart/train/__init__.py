"""Fitting, cross-validation, baselines, evaluation and plots."""

from coldstart.train._baselines import Baselines, evaluate, evaluate_baselines
from coldstart.train._confirmed import evaluate_confirmed
from coldstart.train._conformal import conformalize, evaluate_coverage
from coldstart.train._context import (
    ENSEMBLE,
    Context,
    Family,
    SearchRange,
    uses_gpu,
    validate_families,
)
from coldstart.train._ensemble import Ensemble, build_ensemble
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._features import FrequentCategories, RobustNumbers, text_features
from coldstart.train._fitting import Fitter
from coldstart.train._folds import exported, predict_test_rows, predict_validation_rows
from coldstart.train._horizon import evaluate_horizon
from coldstart.train._part_shift import warn_of_shift
from coldstart.train._plots import draw, importance
from coldstart.train._queue import TrainingQueue
from coldstart.train._sigmoid import calibrate
from coldstart.train._summary import print_results
from coldstart.train._target_transform import ScaledTarget

__all__ = [
    "ENSEMBLE",
    "Baselines",
    "Context",
    "Ensemble",
    "Family",
    "Fitter",
    "FrequentCategories",
    "HeldOutPredictions",
    "RobustNumbers",
    "ScaledTarget",
    "SearchRange",
    "TrainingQueue",
    "build_ensemble",
    "calibrate",
    "conformalize",
    "draw",
    "evaluate",
    "evaluate_baselines",
    "evaluate_confirmed",
    "evaluate_coverage",
    "evaluate_horizon",
    "exported",
    "importance",
    "predict_test_rows",
    "predict_validation_rows",
    "print_results",
    "text_features",
    "uses_gpu",
    "validate_families",
    "warn_of_shift",
]
