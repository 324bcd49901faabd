"""Checks of this machine, or of a place to train."""
