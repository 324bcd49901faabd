"""Drift, and outcomes, of what was served."""
