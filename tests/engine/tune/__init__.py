"""Tests of the engine: tune."""
