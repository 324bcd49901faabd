"""MLflow's page, opened on the runs of the project."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zlib
from types import FrameType
from urllib.error import URLError
from urllib.request import urlopen

from mlflow import MlflowClient

from coldstart.config._settings import Settings
from coldstart.errors import UserError
from coldstart.tracking._mlflow import connect

START = 120  # seconds that the server may take
VIEW = "coldstart"  # name of the view
PARTS = ("validation", "test", "baseline")  # whose scores it shows


def open_ui(settings: Settings, port: int) -> int:
    """Run MLflow's server until it is interrupted, and print when and where it is ready.

    Parameters
    ----------
    settings : Settings
        The project's settings.
    port : int
        Port on this machine.

    Returns
    -------
    int
        The server's exit code.

    Raises
    ------
    UserError
        If the port is taken, or the server does not start.
    """
    client = connect(settings)
    experiment = client.get_experiment_by_name(settings.experiment)
    assert experiment is not None
    page = f"/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
    if settings.tracking_uri.startswith("http"):
        print(f"MLflow: {settings.tracking_uri.rstrip('/')}{page}")
        return 0
    save_view(client, experiment.experiment_id)
    page += f"&viewStateShareKey={VIEW}"
    address = f"http://127.0.0.1:{port}"
    with contextlib.closing(socket.socket()) as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UserError(f"port {port} is taken; choose another: make ui PORT=...")
    # Without job execution it starts in a third of the time, and a quarter of the memory.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", "--backend-store-uri", settings.tracking_uri]
    print("MLflow: starting; Ctrl-C ends it", flush=True)
    with subprocess.Popen(command, env=environment) as server:

        def stop(number: int, frame: FrameType | None) -> None:
            server.terminate()

        signal.signal(signal.SIGTERM, stop)
        try:
            wait_until_ready(server, address)
            print(f"MLflow: {address}{page}", flush=True)
            return server.wait()
        except KeyboardInterrupt:
            server.terminate()
            return server.wait()


def save_view(client: MlflowClient, experiment: str) -> None:
    """Save a view of the experiment's runs that shows their scores, the best first.

    MLflow's page shows no metric until somebody chooses columns. It reads such a choice from a tag,
    as it does for a view that somebody shares.
    """
    runs = client.search_runs([experiment], max_results=100)
    names = {name for run in runs for name in run.data.metrics}
    validation = sorted(name for name in names if name.startswith("validation_"))
    metrics = [name.removeprefix("validation_") for name in validation]
    columns = [f"metrics.`{part}_{name}`" for name in metrics for part in PARTS]
    view = {
        "searchFilter": "",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "orderByKey": columns[0] if columns else "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": [*columns, "attributes.`Description`"],
    }
    packed = base64.b64encode(zlib.compress(json.dumps(view).encode())).decode()
    client.set_experiment_tag(experiment, f"mlflow.sharedViewState.{VIEW}", f"deflate;{packed}")


def wait_until_ready(server: subprocess.Popen[bytes], address: str) -> None:
    """Wait for a server to answer.

    Raises
    ------
    UserError
        If it ends instead, or takes too long.
    """
    end = time.monotonic() + START
    while time.monotonic() < end:
        if server.poll() is not None:
            raise UserError("MLflow's server ended: see above")
        try:
            urlopen(f"{address}/health", timeout=5).close()
        except (URLError, OSError):
            time.sleep(0.2)
        else:
            return
    server.terminate()
    raise UserError(f"MLflow's server did not answer in {START} s")
