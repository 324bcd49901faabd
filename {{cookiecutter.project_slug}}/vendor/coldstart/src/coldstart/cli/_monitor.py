"""The command that looks for drift."""

from __future__ import annotations


from coldstart.cli._commands import Command
from coldstart.monitor._request import MonitorRequest


class Monitor(Command, MonitorRequest):
    """Compare what was served with what the model was fitted on; exit code 1 if it drifted."""

    def run(self) -> int:
        """Do it."""
        from coldstart.monitor._monitoring import monitor

        return monitor(self)
