"""Tests of the engine: deploy."""
