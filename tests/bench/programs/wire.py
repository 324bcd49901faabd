"""What the endpoints that this project's API is compared with take and answer: the same."""

from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel


def load_contract(package: str, bundle: Path) -> Any:
    """Read the contract of a bundle."""
    return import_module(f"{package}.contract").Contract.load(bundle / "schema.yaml")


def models(package: str, contract: Any) -> tuple[Any, Any]:
    """Make the pydantic models of a request and of an answer."""
    serving = import_module(f"{package}.serving.rows")
    row = serving.row_type(contract)

    class Rows(BaseModel):
        rows: list[row]  # type: ignore[valid-type]

    class Predictions(BaseModel):
        predictions: list[serving.Label]  # type: ignore[name-defined]
        model_version: str

    return Rows, Predictions
