"""Clean tables made dirty, as people make them: each kind of dirt alone, and many together."""
