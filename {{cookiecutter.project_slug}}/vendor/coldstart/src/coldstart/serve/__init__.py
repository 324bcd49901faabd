"""A bundle as an API. Nothing here imports torch, scikit-learn, polars or MLflow.

The names are imported when they are first used: the process that predicts a file needs no API.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coldstart.serve._app import create_app, open_app
    from coldstart.serve._live_model import LiveModel
    from coldstart.serve._server import serve
    from coldstart.serve._service import ModelService, open_service

__all__ = ["LiveModel", "ModelService", "create_app", "open_app", "open_service", "serve"]

_WHERE = {
    "LiveModel": "_live_model",
    "ModelService": "_service",
    "create_app": "_app",
    "open_app": "_app",
    "open_service": "_service",
    "serve": "_server",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'coldstart.serve' has no attribute {name!r}")
    return getattr(import_module(f"coldstart.serve.{_WHERE[name]}"), name)
