"""Serving: a bundle as an API.

This package and what it imports need neither torch, scikit-learn, polars nor MLflow:
the process is small and starts at once.
"""

import gc
import math
import os
import socket
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from coldstart._project import Project
from coldstart.config._settings import ServingSettings
from coldstart.errors import UserError
from coldstart.serve._access import read_keys
from coldstart.serve._app import create_app, open_app
from coldstart.serve._limits import SlowClientProtocol
from coldstart.serve._metrics import SHARED
from coldstart.serve._request_log import write_logs

__all__ = ["create_app", "open_app", "serve"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SWITCH = 0.001  # seconds that a thread may keep the event loop waiting


def serve(project: Project, folder: Path, choice: ServingSettings) -> None:
    """Serve a bundle until interrupted.

    Raises
    ------
    UserError
        If the bundle or the file of keys cannot be used, or the port is taken.
    """
    begin = partial(start, project, folder, choice)
    app = begin()
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
    address = f"http://{host}:{listener.getsockname()[1]}"
    there = {one.path for one in iter_route_contexts(app.routes)}
    page = [f"Page: {address}/"] if "/" in there else []
    docs = "/docs" if choice.docs else ""
    print(app.title, *page, f"API:  {address}{docs}", sep="\n", flush=True)
    about: dict[str, Any] = {
        "http": SlowClientProtocol,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": math.ceil(choice.deadline),
    }
    if choice.workers == 1:
        uvicorn.Server(uvicorn.Config(app, **about)).run(sockets=[listener])
        return
    from uvicorn.supervisors import Multiprocess  # one worker spares its memory

    with tempfile.TemporaryDirectory() as shared:
        os.environ[SHARED] = shared
        config = uvicorn.Config(begin, factory=True, workers=choice.workers, **about)
        Multiprocess(config, sockets=[listener]).run()


def start(project: Project, folder: Path, choice: ServingSettings) -> FastAPI:
    """Load the bundle and make its API, in the process that answers."""
    app = open_app(project, folder, choice)
    write_logs(choice.logs.form)
    sys.setswitchinterval(SWITCH)
    SlowClientProtocol.seconds = choice.patience
    # What is there now stays; the collector need not look at it again with every request.
    gc.collect()
    gc.freeze()
    gc.enable()
    return app
