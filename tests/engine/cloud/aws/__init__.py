"""Tests of the engine: aws."""
