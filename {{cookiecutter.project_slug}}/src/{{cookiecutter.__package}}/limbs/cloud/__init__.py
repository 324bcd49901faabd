"""Renting machines for a training, and seeing to it that none is left."""
