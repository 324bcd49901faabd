"""Tests of the engine: portfolio."""
