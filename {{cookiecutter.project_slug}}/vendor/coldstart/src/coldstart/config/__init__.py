"""Settings: config.yaml, overridden by the environment and the command line."""

from coldstart.config._settings import (
    DataSettings,
    Dialect,
    Join,
    LogSettings,
    NeuralSettings,
    PredictionLogSettings,
    ServingSettings,
    Settings,
    SplitSettings,
)

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
