"""From raw files to typed, split rows."""

from coldstart.data._dataset import Dataset, describe_split, load, prepare
from coldstart.data._splitting import Split

__all__ = ["Dataset", "Split", "describe_split", "load", "prepare"]
