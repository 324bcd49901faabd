"""Diagnostics of this computer, and of a provider that trains or serves."""

from coldstart.doctor._checks import find_checks, run_doctor
from coldstart.doctor._pins import update_pins
from coldstart.doctor._security import run_audit

__all__ = ["find_checks", "run_audit", "run_doctor", "update_pins"]
