"""The preflight's command."""

from __future__ import annotations


from coldstart.cli._commands import Command
from coldstart.doctor._request import DoctorRequest


class Doctor(Command, DoctorRequest):
    """Look for what would stop this project here or elsewhere, and tell what mends it."""

    def run(self) -> int:
        """Do it."""
        from coldstart.doctor._checks import doctor

        return doctor(self)
