"""Serving: a bundle as an API.

This package and what it imports need neither torch, scikit-learn, polars nor MLflow:
the process is small and starts at once.
"""

import gc
import socket
import sys
from pathlib import Path

import uvicorn

from ..errors import UserError
from ..settings import Serving
from .access import read_keys
from .app import create_app, model_app
from .limits import Impatient
from .model import Served

__all__ = ["create_app", "serve"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(folder: Path, choice: Serving) -> None:
    """Serve a bundle until interrupted.

    Raises
    ------
    UserError
        If the bundle or the file of keys cannot be used, or the port is taken.
    """
    app = model_app(Served(folder), choice)
    if choice.keys:
        read_keys(choice.keys)  # a mistake in it is told now, and not to the first who asks
    elif choice.host not in LOOPBACK:
        print(
            f"WARNING: {choice.host} is open to others, and no key is needed: "
            "make key NAME=..., then serving.keys in config.yaml",
            file=sys.stderr,
        )
    host, port = choice.host, choice.port
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
    Impatient.seconds = choice.patience
    config = uvicorn.Config(
        app, http=Impatient, log_level="warning", access_log=False, server_header=False
    )
    uvicorn.Server(config).run(sockets=[listener])
