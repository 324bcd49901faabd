"""The launcher for the provider that `ON=` names."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from coldstart.cloud._launchers import Launcher
from coldstart.cloud._request import provider_of


def find_launcher(on: str) -> Launcher:
    """Return the launcher for a provider.

    Another package brings one by the entry point group ``coldstart.launchers``: a callable of the
    name that `ON=` gives. Its name is what stands before a ``/`` or a ``:`` there.
    """
    name = provider_of(on)
    for entry in entry_points(group="coldstart.launchers", name=name):
        make: Callable[[str], Launcher] = entry.load()
        return make(on)
    if on == "docker" or on.startswith(("ssh://", "tcp://")):
        from coldstart.cloud.on_docker._launcher import DockerLauncher

        return DockerLauncher("local" if on == "docker" else on)
    from coldstart.cloud.skypilot._launcher import SkyPilotLauncher

    return SkyPilotLauncher(on)
