"""Tests of the engine: monitor."""
