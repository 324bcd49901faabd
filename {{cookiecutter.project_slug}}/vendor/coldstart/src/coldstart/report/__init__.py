"""The results in README.md."""
