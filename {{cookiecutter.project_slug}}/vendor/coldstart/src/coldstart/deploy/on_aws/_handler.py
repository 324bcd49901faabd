"""What runs in AWS Lambda: each event of the function's URL becomes a request to the API.

An instance handles one request at a time, is frozen until the next one, and may end at any time.
So nothing runs in the background here: the bundle's folder is not watched, no predictions are
logged, and /metrics counts for one instance only.
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

from coldstart._collector import freeze_objects
from coldstart._project import Project
from coldstart.config._sections import PredictionLogSettings
from coldstart.config._settings import Settings
from coldstart.deploy._keys import PUBLIC, unpack_keys
from coldstart.deploy.on_aws._cost import MAX_BYTES, PUBLIC_BYTES
from coldstart.errors import UserError
from coldstart.serve._server import load

MOST = PUBLIC_BYTES if PUBLIC in os.environ else MAX_BYTES  # of a response
PUBLIC_ROWS = 100  # of a request, if the API is public


def open_api() -> Mangum:
    """Load the champion, once for each instance.

    COLDSTART_PROJECT, which the image sets, is the object reference of the `Project`.

    Raises
    ------
    UserError
        If the bundle cannot be used. Lambda returns the message to the client.
    """
    module, _, name = os.environ["COLDSTART_PROJECT"].partition(":")
    project: Project = getattr(import_module(module), name)
    settings = Settings.load(project).serving
    keys = unpack_keys(Path(tempfile.gettempdir()))  # no other folder is writable
    changes: dict[str, Any] = {
        "keys": keys,
        "record": PredictionLogSettings(),
        "canary": 0.0,  # the image holds the champion only
        "shadow": False,
        "telemetry": False,  # an instance that is frozen sends nothing
        # Lambda logs each request itself. A line with a path that a client chooses has no limit.
        "logs": settings.logs.model_copy(update={"requests": "failed"}),
    }
    if PUBLIC in os.environ:
        limits = {"max_bytes": MOST, "file_bytes": MOST, "max_rows": PUBLIC_ROWS}
        changes |= {name: min(getattr(settings, name), most) for name, most in limits.items()}
    elif keys is None:
        raise UserError("the function has neither API keys nor PUBLIC: make deploy ON=aws")
    else:
        changes["docs"] = False  # a browser gets these pages without a key
    app = load(project, Path("bundles/champion"), settings.model_copy(update=changes))
    freeze_objects()
    logging.getLogger("mangum").setLevel(logging.WARNING)  # the API logs requests itself
    return Mangum(app, lifespan="off")


api = open_api()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the response to an event, in Lambda's payload format 2.0."""
    response = api(event, context)
    if len(json.dumps(response)) > MOST:
        error = {"detail": f"the response is longer than {MOST:,} bytes: send fewer rows"}
        headers = {"content-type": "application/json"}
        return {"statusCode": 413, "headers": headers, "body": json.dumps(error)}
    return response
