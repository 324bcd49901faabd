"""The server: a bundle as an API, until it is interrupted.

This package and what it imports need neither torch, scikit-learn, polars nor MLflow: the process
is small and starts fast.
"""

import math
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from coldstart._collector import collector_paused, freeze_objects, objects_frozen
from coldstart._project import Project
from coldstart.config._sections import ServingSettings
from coldstart.errors import UserError
from coldstart.serve._access import read_keys
from coldstart.serve._app import open_app
from coldstart.serve._docs import DOCS
from coldstart.serve._limits import SlowClientProtocol
from coldstart.serve._metrics import SHARED
from coldstart.serve._request_log import write_logs

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SWITCH_SECONDS = 0.001  # that a thread may keep the event loop waiting
ACCEPTED = 16  # new connections in a tick of the event loop; see `listen`


def serve(project: Project, folder: Path, settings: ServingSettings) -> None:
    """Serve a bundle until interrupted.

    Parameters
    ----------
    project : Project
        The project, with the application and the derived columns.
    folder : Path
        The bundle.
    settings : ServingSettings
        The section `serving` of config.yaml.

    Raises
    ------
    UserError
        If the bundle or the file of keys cannot be used, or the port is taken.
    """
    app = load(project, folder, settings)
    if settings.keys:
        read_keys(settings.keys)  # an error in it is reported at the start, not to the first client
    elif settings.host not in LOOPBACK:
        print(
            f"warning: {settings.host} is open to other machines, and no key is needed. "
            "Run make key NAME=..., then set serving.keys in config.yaml",
            file=sys.stderr,
        )
    host, port = settings.host, settings.port
    try:
        listeners = listen(host, port)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another: make serve PORT=..."
        ) from None
    address = f"http://{host}:{listeners[0].getsockname()[1]}"
    if os.getpid() == 1:
        # The first process of a container ignores SIGTERM until a handler is there: uvicorn's is
        # installed only when it starts.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    paths = {one.path for one in iter_route_contexts(app.routes)}
    page = [f"Page: {address}/"] if "/" in paths else []
    docs = DOCS if settings.docs else ""
    print(f"{app.title}, model version {app.version}", *page, f"API:  {address}{docs}", sep="\n")
    sys.stdout.flush()
    options: dict[str, Any] = {
        "http": SlowClientProtocol,
        "ws": "none",  # the API has no WebSocket, and its middleware would ask none for a key
        "log_config": None,
        "access_log": False,
        "server_header": False,
        # uvicorn's default trusts loopback, where a proxy may pass on what its client wrote.
        "forwarded_allow_ips": os.environ.get("FORWARDED_ALLOW_IPS", ""),
        "timeout_graceful_shutdown": math.ceil(settings.response_timeout),
    }
    if settings.workers == 1:
        with objects_frozen():
            uvicorn.Server(uvicorn.Config(app, **options)).run(sockets=listeners)
        return
    from uvicorn.supervisors import Multiprocess  # one worker spares its memory

    with tempfile.TemporaryDirectory() as shared:
        os.environ[SHARED] = shared
        make_app = partial(start, project, folder, settings)
        config = uvicorn.Config(make_app, factory=True, workers=settings.workers, **options)
        Multiprocess(config, sockets=listeners).run()


def listen(host: str, port: int) -> list[socket.socket]:
    """Return a listening socket, several times.

    libuv accepts one connection of a socket in each tick of the event loop. While ticks are long,
    as under too many requests, new clients would wait for seconds.
    """
    listener = socket.create_server((host, port), backlog=2048)
    return [listener, *(listener.dup() for _ in range(ACCEPTED - 1))]


def start(project: Project, folder: Path, settings: ServingSettings) -> FastAPI:
    """Load the bundle and make its API, in a worker process."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    app = load(project, folder, settings)
    freeze_objects()
    return app


def end_with_parent() -> None:
    """End this worker gracefully once its parent has gone, which would keep the port otherwise."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    signal.raise_signal(signal.SIGTERM)


def load(project: Project, folder: Path, settings: ServingSettings) -> FastAPI:
    """Load the bundle and make its API, with the logs and limits of the settings."""
    with collector_paused():
        app = open_app(project, folder, settings)
    write_logs(settings.logs.form)
    sys.setswitchinterval(SWITCH_SECONDS)
    SlowClientProtocol.seconds = settings.request_timeout
    SlowClientProtocol.reading_seconds = settings.response_timeout
    return app
