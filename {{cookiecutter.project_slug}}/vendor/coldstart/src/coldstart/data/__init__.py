"""From raw files to typed rows, split for training and evaluation."""

from coldstart.data._dataset import Dataset, describe_split, load, prepare
from coldstart.data._splitting import Split

__all__ = ["Dataset", "Split", "describe_split", "load", "prepare"]
