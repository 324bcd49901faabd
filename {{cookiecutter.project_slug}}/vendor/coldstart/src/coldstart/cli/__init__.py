"""The command line."""

from coldstart.cli._main import main

__all__ = ["main"]
