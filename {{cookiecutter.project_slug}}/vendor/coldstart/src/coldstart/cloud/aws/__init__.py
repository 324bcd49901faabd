"""AWS: the account, its diagnostics, and the sweep."""
