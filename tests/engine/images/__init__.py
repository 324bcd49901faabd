"""Tests of the engine: images."""
