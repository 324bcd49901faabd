"""Tests of the engine: cloud."""
