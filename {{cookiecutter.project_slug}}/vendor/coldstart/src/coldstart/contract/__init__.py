"""The data contract (schema.yaml): what each column of a table is."""

from coldstart.contract._contract import Contract, EncodedFeatures, register_column_type
from coldstart.contract._derived import DerivedColumn, register_derived

__all__ = [
    "Contract",
    "DerivedColumn",
    "EncodedFeatures",
    "register_column_type",
    "register_derived",
]
