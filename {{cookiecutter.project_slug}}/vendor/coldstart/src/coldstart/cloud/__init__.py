"""Training on other machines: Docker hosts, and what SkyPilot reaches.

The names below are what another package needs to add a provider. They are imported when they are
first used, since modules of this package run on machines and in SkyPilot's own environment.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coldstart.cloud._job import Job
    from coldstart.cloud._launchers import Launcher, Machine
    from coldstart.cloud._launching import launch
    from coldstart.cloud._plan import Charge, Offer, Plan
    from coldstart.cloud._request import LaunchRequest

__all__ = ["Charge", "Job", "LaunchRequest", "Launcher", "Machine", "Offer", "Plan", "launch"]

_WHERE = {
    "Charge": "_plan",
    "Job": "_job",
    "LaunchRequest": "_request",
    "Launcher": "_launchers",
    "Machine": "_launchers",
    "Offer": "_plan",
    "Plan": "_plan",
    "launch": "_launching",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
