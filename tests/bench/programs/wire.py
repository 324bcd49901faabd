"""What the endpoints that this project's API is compared with take and return: the same."""

# The generated project's environment has these libraries, the template's has not.
# mypy: disable-error-code="import-not-found"

from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from coldstart import BundlePredictor, Contract, Dataset, Project, Settings
from coldstart.contract import register_derived
from coldstart.data import load
from coldstart.serve._schemas import Label, row_type


def load_contract(package: str, bundle: Path) -> Contract:
    """Read the contract of a bundle, with the project's derived columns."""
    register_derived(import_module(f"{package}.features").DERIVED)
    return Contract.load(bundle / "schema.yaml")


def load_project(package: str, bundle: Path) -> tuple[BundlePredictor, Settings, Dataset]:
    """Load a bundle, and the settings and the prepared data of the project in this folder."""
    load_contract(package, bundle)
    settings = load_settings(package)
    return BundlePredictor(bundle), settings, load(settings)


def load_settings(package: str) -> Settings:
    """Read the settings of the project in this folder."""
    return Settings.load(find_project(package))


def find_project(package: str) -> Project:
    """Return the project of a package, with its derived columns."""
    register_derived(import_module(f"{package}.features").DERIVED)
    found: Project = import_module(f"{package}.__main__").PROJECT
    return found


def models(contract: Contract) -> tuple[Any, Any]:
    """Make the pydantic models of a request and of a response."""
    row = row_type(contract)

    class Rows(BaseModel):
        rows: list[row]  # type: ignore[valid-type]

    class Predictions(BaseModel):
        predictions: list[Label]
        model_version: str

    return Rows, Predictions
