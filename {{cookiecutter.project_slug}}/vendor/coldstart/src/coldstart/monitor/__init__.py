"""Drift of the served rows, and metrics of predictions whose outcome is known."""
