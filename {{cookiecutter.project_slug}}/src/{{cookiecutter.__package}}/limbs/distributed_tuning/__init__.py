"""Tuning on rented machines: they share one search."""
