"""Settings: config.yaml, overridden by the environment and the command line."""

from coldstart.config._sections import (
    DataSettings,
    Dialect,
    Join,
    LogSettings,
    NeuralSettings,
    PredictionLogSettings,
    ServingSettings,
    SplitSettings,
)
from coldstart.config._settings import Settings

__all__ = [
    "DataSettings",
    "Dialect",
    "Join",
    "LogSettings",
    "NeuralSettings",
    "PredictionLogSettings",
    "ServingSettings",
    "Settings",
    "SplitSettings",
]
