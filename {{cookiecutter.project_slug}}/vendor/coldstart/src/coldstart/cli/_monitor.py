"""The command that compares served rows with the model's reference rows."""

from __future__ import annotations

from coldstart.cli._commands import Command
from coldstart.monitor._request import MonitorRequest


class Monitor(Command, MonitorRequest):
    """Compare served rows with the training rows; exit code 1 if they drifted."""

    def run(self) -> int:
        """Compare, and return the exit code."""
        from coldstart.monitor._monitoring import monitor

        return monitor(self)
