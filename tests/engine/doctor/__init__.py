"""Tests of the engine: doctor."""
