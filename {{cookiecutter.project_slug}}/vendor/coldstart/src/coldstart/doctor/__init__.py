"""Diagnostics of this computer, and of a provider that trains or serves."""

from coldstart.doctor._checks import find_checks, run_doctor

__all__ = ["find_checks", "run_doctor"]
