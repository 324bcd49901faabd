"""Serving: a bundle as an API.

This package and what it imports need neither torch, scikit-learn, polars nor MLflow:
the process is small and starts at once.
"""

import gc
import socket
from pathlib import Path

import uvicorn

from ..errors import UserError
from .app import create_app, model_app
from .model import Served

__all__ = ["create_app", "serve"]


def serve(folder: Path, host: str, port: int) -> None:
    """Serve a bundle until interrupted.

    Raises
    ------
    UserError
        If the bundle cannot be loaded or the port is taken.
    """
    app = model_app(Served(folder))
    try:
        listener = socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another: make serve PORT=..."
        ) from None
    # What is there now stays; the collector need not look at it again with every request.
    gc.collect()
    gc.freeze()
    port = listener.getsockname()[1]
    print(f"{app.title}\nAPI:  http://{host}:{port}/docs", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
