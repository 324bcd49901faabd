"""Exporting a fitted pipeline to one ONNX graph, and the parity check."""

from coldstart.export._boosting import register_boosting
from coldstart.export._converters import register_converter
from coldstart.export._onnx import check_parity, to_onnx

__all__ = ["check_parity", "register_boosting", "register_converter", "to_onnx"]
