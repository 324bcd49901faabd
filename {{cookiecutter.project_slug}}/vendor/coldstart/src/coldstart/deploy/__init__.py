"""Deploying the API: to a Docker host, to AWS Lambda, and to a Space of Hugging Face.

The names below are what another package needs to add a target, by the entry point group
``coldstart.deploy``. They are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coldstart.deploy._targets import DeployRequest, DeployTarget, find_target

__all__ = ["DeployRequest", "DeployTarget", "find_target"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}._targets"), name)
