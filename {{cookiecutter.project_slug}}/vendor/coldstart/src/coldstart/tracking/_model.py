"""A bundle as an MLflow model, which takes rows as `schema.yaml` describes them.

It has two flavors: `onnx` for the graph itself, and `python_function`, whose code lies in the
model as text. Where the engine and the project are installed those are used, so that the rows mean
what they mean to the API.
"""

from __future__ import annotations

import importlib.util
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import onnx
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType

import coldstart
from coldstart._project import Project
from coldstart.bundle._bundle import MODEL, Manifest
from coldstart.bundle._frames import DERIVED
from coldstart.bundle._predictor import BundlePredictor
from coldstart.contract._contract import Contract

LIBRARIES = ["mlflow", "numpy", "onnxruntime", "pandas", "pydantic", "PyYAML"]
CODE, LOADER = "code", "coldstart_model"
MOST_SHOWN = 300  # columns of an input example
# Of the engine, what loading needs.
PARTS = ["__init__.py", "errors.py", "_yaml.py", "bundle", "contract"]
LOAD = '''"""Load this model for MLflow, by installed packages or else by those beside this file."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).with_name("packages")))

from coldstart.bundle._frames import load_pyfunc as _load_pyfunc

__all__ = ["_load_pyfunc"]
'''


def log_bundle(project: Project, bundle: Path, predictor: BundlePredictor) -> str:
    """Log a bundle as an MLflow model.

    Its signature is the features of schema.yaml: `mlflow.pyfunc.load_model` returns a model of
    data frames of them.

    Parameters
    ----------
    project : Project
        Whose derived columns the model needs.
    bundle : Path
        Folder of the bundle.
    predictor : BundlePredictor
        The loaded bundle.

    Returns
    -------
    str
        URI of the logged model.
    """

    def save_model(path: str, mlflow_model: Model, **_: Any) -> None:
        few = len(predictor.contract.features) <= MOST_SHOWN  # MLflow takes seconds for more
        derived = {DERIVED: project.derived} if predictor.manifest.derived else {}
        mlflow_model.metadata = {**(mlflow_model.metadata or {}), **derived}
        mlflow.onnx.save_model(
            # Weights in a second file stay there: all files of the bundle are copied below.
            onnx.load(bundle / MODEL, load_external_data=False),
            path,
            mlflow_model=mlflow_model,
            signature=signature(predictor.contract, predictor.manifest),
            input_example=[predictor.contract.example()] if few else None,
            pip_requirements=[f"{name}=={version(name)}" for name in libraries(predictor.contract)],
            save_as_external_data=False,
        )
        own = mlflow_model.flavors[mlflow.pyfunc.FLAVOR_NAME]
        own |= {"loader_module": LOADER, "code": CODE}
        del own["data"]  # the loader takes the whole folder, and not the graph alone
        mlflow_model.save(str(Path(path, "MLmodel")))
        copy_code(Path(path, CODE), project.package if derived else "")
        shutil.copytree(bundle, path, dirs_exist_ok=True)

    flavor = SimpleNamespace(save_model=save_model, __name__="bundle", FLAVOR_NAME="onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        uri: str = Model.log(None, flavor, name="model").model_uri
    return uri


def libraries(contract: Contract) -> list[str]:
    """Return the packages that predictions of such rows need."""
    special = [name for column in contract.features.values() for name in column.packages]
    return [*LIBRARIES, *dict.fromkeys(special)]


def signature(contract: Contract, manifest: Manifest) -> ModelSignature:
    """Return which columns the model takes and returns.

    Parameters
    ----------
    contract : Contract
        The data contract.
    manifest : Manifest
        Of the model.

    Returns
    -------
    ModelSignature
        Texts are strings. Every other type is `any`, since of a whole number in a column of
        numbers MLflow makes an error, and of a missing truth value in JSON `false`; the model
        itself checks values as the API does.
    """
    untyped: Any = AnyType  # which has no type hints
    inputs: list[Any] = [
        ColSpec(
            DataType.string if column.matrix == "strings" else untyped(),
            name,
            required=not column.nullable,
        )
        for name, column in contract.features.items()
    ]
    shares: list[Any] = [
        ColSpec(DataType.double, f"probability {name}") for name in manifest.classes
    ]
    conformal = manifest.conformal is not None and manifest.conformal.exists
    text = ["label", "set"] if conformal else ["label"]
    numbers = ["value", "low", "high"] if conformal else ["value"]
    value: list[Any] = [ColSpec(DataType.double, name) for name in numbers]
    label: list[Any] = [ColSpec(DataType.string, name) for name in text]
    outputs = [label[0], *shares, *label[1:]] if shares else value
    return ModelSignature(Schema(inputs), Schema(outputs))


def copy_code(folder: Path, package: str) -> None:
    """Write what loads the model: a file, the engine's part that it needs, and a package.

    Parameters
    ----------
    folder : Path
        Folder to write.
    package : str
        Name of the project's package, whose functions compute derived columns; empty for none.
    """
    engine = Path(coldstart.__file__).parent
    copied = folder / "packages"
    (copied / engine.name).mkdir(parents=True)
    folder.joinpath(f"{LOADER}.py").write_text(LOAD, encoding="utf-8")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in PARTS:
        if (engine / name).is_dir():
            shutil.copytree(engine / name, copied / engine.name / name, ignore=ignore)
        else:
            shutil.copy(engine / name, copied / engine.name)
    if package:
        found = importlib.util.find_spec(package)
        assert found is not None
        assert found.submodule_search_locations
        shutil.copytree(found.submodule_search_locations[0], copied / package, ignore=ignore)
