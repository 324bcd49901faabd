"""A Docker engine: this machine's, or that of a machine reached over ssh."""
