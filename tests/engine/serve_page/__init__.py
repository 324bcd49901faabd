"""Tests of the engine: serve page."""
