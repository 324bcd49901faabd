"""The report: results of the last training, written into README.md."""
