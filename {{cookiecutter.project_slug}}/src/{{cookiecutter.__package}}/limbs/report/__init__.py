"""The report: the README's results, from the last training."""
