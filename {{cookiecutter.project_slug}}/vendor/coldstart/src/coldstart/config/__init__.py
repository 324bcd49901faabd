"""Settings: what config.yaml, the environment and the command line choose."""

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

__all__ = ["DataSettings", "Dialect", "Join", "LogSettings", "NeuralSettings", "PredictionLogSettings", "ServingSettings", "Settings", "SplitSettings"]
