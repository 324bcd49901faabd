"""Tests of the engine: report."""
