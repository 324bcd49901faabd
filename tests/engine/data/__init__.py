"""Tests of the engine: data."""
