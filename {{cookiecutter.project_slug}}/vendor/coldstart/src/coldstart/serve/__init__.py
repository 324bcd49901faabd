"""A bundle as an API. Nothing here imports torch, scikit-learn, polars or MLflow."""

from coldstart.serve._app import create_app, open_app
from coldstart.serve._live_model import LiveModel
from coldstart.serve._server import serve
from coldstart.serve._service import ModelService, open_service

__all__ = ["LiveModel", "ModelService", "create_app", "open_app", "open_service", "serve"]
