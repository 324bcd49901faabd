"""Tuning: a search for better settings of a model."""
