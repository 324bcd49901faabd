"""AWS: account, preflight, sweep."""
