"""The public names of the engine: which they are, and that each is documented."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import validate
from pydantic import BaseModel

import coldstart

# A name that is added or removed here belongs in CHANGELOG.md.
PUBLIC = {
    "coldstart": [
        "BundlePredictor",
        "Contract",
        "Dataset",
        "Project",
        "Settings",
        "StageTimer",
        "UserError",
    ],
    "coldstart.bundle": [
        "BundlePredictor",
        "Conformal",
        "Manifest",
        "to_labels",
        "verify_bundle",
        "write_checksums",
    ],
    "coldstart.cli": ["main"],
    "coldstart.cloud": [
        "Charge",
        "Job",
        "LaunchRequest",
        "Launcher",
        "Machine",
        "Offer",
        "Plan",
        "launch",
    ],
    "coldstart.config": [
        "DataSettings",
        "Dialect",
        "Join",
        "LogSettings",
        "NeuralSettings",
        "PredictionLogSettings",
        "ServingSettings",
        "Settings",
        "SplitSettings",
    ],
    "coldstart.contract": [
        "Contract",
        "DerivedColumn",
        "EncodedFeatures",
        "register_column_type",
        "register_derived",
    ],
    "coldstart.contract.columns": [
        "BaseColumn",
        "Boolean",
        "Category",
        "Date",
        "Image",
        "MISSING",
        "Number",
        "Text",
    ],
    "coldstart.data": ["Dataset", "Split", "describe_split", "load", "prepare"],
    "coldstart.deploy": ["DeployRequest", "DeployTarget", "find_target"],
    "coldstart.doctor": ["find_checks", "run_audit", "run_doctor", "update_pins"],
    "coldstart.export": ["check_parity", "register_boosting", "register_converter", "to_onnx"],
    "coldstart.images": ["build_serve", "build_train", "write_sbom"],
    "coldstart.model_card": ["model_card"],
    "coldstart.nn": ["Checkpointer", "NeuralNetwork", "Result", "TrainingJob"],
    "coldstart.serve": [
        "LiveModel",
        "ModelService",
        "create_app",
        "open_app",
        "open_service",
        "serve",
    ],
    "coldstart.tracking": [
        "Candidate",
        "TrainingRun",
        "choose_challenger",
        "complete_bundle",
        "connect",
        "flat_metrics",
        "log_bundle",
        "log_parameters",
        "log_table",
        "make_manifest",
        "promote",
        "register",
        "start_run",
        "write_bundle",
    ],
    "coldstart.train": [
        "Baselines",
        "Context",
        "ENSEMBLE",
        "Ensemble",
        "Family",
        "Fitter",
        "FrequentCategories",
        "HeldOutPredictions",
        "RobustNumbers",
        "ScaledTarget",
        "SearchRange",
        "TrainingQueue",
        "build_ensemble",
        "calibrate",
        "conformalize",
        "draw",
        "evaluate",
        "evaluate_baselines",
        "evaluate_confirmed",
        "evaluate_coverage",
        "evaluate_horizon",
        "exported",
        "importance",
        "predict_test_rows",
        "predict_validation_rows",
        "print_results",
        "text_features",
        "uses_gpu",
        "validate_families",
        "warn_of_shift",
    ],
}

# Checks of style that the engine's docstrings leave to ruff, or to the author.
IGNORED = {
    "ES01": "an extended summary is optional",
    "EX01": "examples are in the how-to guides",
    "GL01": "a summary begins on the line of the quotes",
    "GL02": "the quotes of a single line end it",
    "PR08": "a description may begin with a name in lower case",
    "PR09": "a description may be a phrase",
    "RT03": "a type of a result can be enough",
    "RT04": "a description may begin with a name in lower case",
    "RT05": "a description may be a phrase",
    "SA01": "pages link related names",
}


def packages() -> list[str]:
    """The engine and its sub-packages that are not private, by name."""
    found = pkgutil.walk_packages(coldstart.__path__, "coldstart.")
    return ["coldstart", *(one.name for one in found if one.ispkg and "._" not in one.name)]


def documented() -> dict[str, Any]:
    """All public functions, classes, methods and properties, by name."""
    found: dict[str, Any] = {}
    for package in packages():
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            if inspect.isfunction(value):
                found[f"{package}.{name}"] = value
            elif inspect.isclass(value):
                found[f"{package}.{name}"] = value
                found |= {f"{package}.{name}.{own}": one for own, one in members(value)}
    return found


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties of a class, without overrides that bases document."""
    above = [(name, value) for base in kind.__mro__[1:] for name, value in vars(base).items()]
    inherited = {name for name, value in above if value.__doc__}
    fields = inspect.get_annotations(kind)
    for name, value in list(vars(kind).items()):
        method = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if name.startswith("_") or name in fields:
            continue
        if not (inspect.isfunction(method) or isinstance(method, property | cached_property)):
            continue
        if getattr(method, "__module__", kind.__module__).partition(".")[0] != "coldstart":
            continue  # pydantic and scikit-learn add some
        if method.__doc__ or name not in inherited:
            yield name, method


def problems(value: Any) -> list[str]:
    """What numpydoc finds in a docstring."""
    if inspect.isclass(value) and issubclass(value, BaseModel):
        value.model_rebuild()  # else the signature is not known before the first use
    errors = validate(get_doc_object(value))["errors"]
    found = []
    for code, text in errors:
        if code in IGNORED:
            continue
        if code == "PR01" and inspect.isclass(value):
            names = set(re.findall(r"'([^']+)'", text)) - inherited_parameters(value)
            names = {name for name in names if not name.startswith(("_", "*"))}
            if not names:
                continue
            text = f"Parameters {sorted(names)} not documented"
        found.append(f"{code} {text}")
    return found


def inherited_parameters(kind: type) -> set[str]:
    """The parameters that the docstrings of the classes above a class document."""
    bases = [base for base in kind.__mro__[1:] if base.__module__.startswith("coldstart")]
    return {
        name
        for base in bases
        for parameter in get_doc_object(base)["Parameters"]
        for name in parameter.name.split(", ")
    }


@pytest.mark.parametrize("package", packages())
def test_the_public_names_are_these(package: str) -> None:
    module = importlib.import_module(package)
    names = getattr(module, "__all__", [])
    assert sorted(names) == PUBLIC.get(package, [])
    assert all(hasattr(module, name) for name in names)


def test_each_public_name_has_a_complete_docstring() -> None:
    values = documented()
    assert len(values) > 150
    found = {name: wrong for name, value in values.items() if (wrong := problems(value))}
    assert not found


def test_what_a_docstring_lacks_is_found() -> None:
    def parameter(rows: int) -> None:
        """Count the rows."""

    def result(rows: int) -> int:
        """Count the rows.

        Parameters
        ----------
        rows : int
            Number of rows.
        """
        return rows

    def kind(rows: int) -> None:
        """Count the rows.

        Parameters
        ----------
        rows
            Number of rows.
        """

    def summary(rows: int) -> None:
        """Counts the rows.

        Parameters
        ----------
        rows : int
            Number of rows.
        """

    def nothing() -> None:
        pass

    class Base:
        """A base.

        Parameters
        ----------
        rows : int
            Number of rows.
        """

        def __init__(self, rows: int, columns: int) -> None: ...

    assert [one[:4] for one in problems(parameter)] == ["PR01"]
    assert [one[:4] for one in problems(result)] == ["RT01"]
    assert [one[:4] for one in problems(kind)] == ["PR04"]
    assert [one[:4] for one in problems(summary)] == ["SS05"]
    assert [one[:4] for one in problems(nothing)] == ["GL08"]
    assert problems(Base) == ["PR01 Parameters ['columns'] not documented"]


def test_an_override_without_a_docstring_counts_as_documented_by_its_base_alone() -> None:
    class Base:
        def documented(self) -> None:
            """Do it."""

    class Own(Base):
        def documented(self) -> None: ...

        def new(self) -> None: ...

    Base.__module__ = Own.__module__ = "coldstart.example"
    for method in (Own.documented, Own.new):
        method.__module__ = "coldstart.example"
    assert [name for name, _ in members(Own)] == ["new"]
