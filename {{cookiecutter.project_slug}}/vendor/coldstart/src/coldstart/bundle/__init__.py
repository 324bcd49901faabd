"""The model bundle: one folder with a model and everything that serving it needs."""

from coldstart.bundle._bundle import Manifest, verify_bundle, write_checksums
from coldstart.bundle._conformal import Conformal
from coldstart.bundle._predictor import BundlePredictor, to_labels

__all__ = [
    "BundlePredictor",
    "Conformal",
    "Manifest",
    "to_labels",
    "verify_bundle",
    "write_checksums",
]
