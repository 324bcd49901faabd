"""The leaderboard: all runs side by side."""
