"""Tests of the engine: leaderboard."""
