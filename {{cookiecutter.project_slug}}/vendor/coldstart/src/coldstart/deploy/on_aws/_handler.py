"""What runs in Lambda: each event of the function's URL becomes a request to the API.

An instance answers one request at a time, is frozen until the next, and may end at any time. So
nothing goes on in the background here: the bundle's folder is not watched, no predictions are
kept, and what /metrics tells is of the one instance that answers.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from mangum import Mangum

from coldstart._project import Project
from coldstart.config._settings import PredictionLogSettings, Settings
from coldstart.deploy._keys import unpacked
from coldstart.serve._server import start

MOST = 6_291_556  # bytes of an answer that Lambda hands on


def open_api() -> Mangum:
    """Load the champion, once for each instance.

    Raises
    ------
    UserError
        If it cannot be used; Lambda then tells so to whoever asks.
    """
    # The image says which project it serves.
    module, _, name = os.environ["COLDSTART_PROJECT"].partition(":")
    project: Project = getattr(import_module(module), name)
    choice = Settings.load(project).serving
    keys = unpacked(Path(tempfile.gettempdir()))  # nothing else can be written to
    # The image holds the champion alone, and an instance that is frozen sends nothing.
    changes = {"keys": keys, "record": PredictionLogSettings(), "canary": 0.0, "shadow": False, "telemetry": False}
    app = start(project, Path("bundles/champion"), choice.model_copy(update=changes))
    logging.getLogger("mangum").setLevel(logging.WARNING)  # the API tells of requests itself
    return Mangum(app, lifespan="off")


api = open_api()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer an event with what Lambda sends as an HTTP response (payload format 2.0)."""
    answer = api(event, context)
    if len(json.dumps(answer)) > MOST:
        said = {"detail": "the answer is longer than Lambda can send (6 MB): send fewer rows"}
        about = {"content-type": "application/json"}
        return {"statusCode": 413, "headers": about, "body": json.dumps(said)}
    return answer
