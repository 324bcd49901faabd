"""coldstart: from your own data to a model that is trained, tracked, served and watched.

The names below are the ones that a project begins with; each sub-package has its own. They are
imported when they are first used, so that serving loads nothing that trains.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coldstart._progress import StageTimer
    from coldstart._project import Project
    from coldstart.bundle import BundlePredictor
    from coldstart.config import Settings
    from coldstart.contract import Contract
    from coldstart.data import Dataset
    from coldstart.errors import UserError

__all__ = [
    "BundlePredictor",
    "Contract",
    "Dataset",
    "Project",
    "Settings",
    "StageTimer",
    "UserError",
]

_WHERE = {
    "BundlePredictor": "coldstart.bundle",
    "Contract": "coldstart.contract",
    "Dataset": "coldstart.data",
    "Project": "coldstart._project",
    "Settings": "coldstart.config",
    "StageTimer": "coldstart._progress",
    "UserError": "coldstart.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'coldstart' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
