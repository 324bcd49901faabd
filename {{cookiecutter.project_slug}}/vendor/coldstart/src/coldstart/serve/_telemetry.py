"""OpenTelemetry: FastAPI's own traces, metrics and error logs, sent where OTEL_... says."""

import os
from importlib.util import find_spec
from typing import Any

from coldstart.errors import UserError

OFF = {"tracing": False, "metrics": False, "logs": False}
VARIABLES = [f"OTEL_EXPORTER_OTLP_{part}ENDPOINT" for part in ("", "TRACES_", "METRICS_", "LOGS_")]


def telemetry(wanted: bool) -> dict[str, Any]:
    """Return FastAPI's argument `telemetry`.

    Raises
    ------
    UserError
        If it is wanted and nothing would be sent.
    """
    if not wanted:
        return OFF
    if not any(os.environ.get(name) for name in VARIABLES):
        raise UserError(f"serving.telemetry: set {VARIABLES[0]}, such as http://127.0.0.1:4318")
    if find_spec("opentelemetry.exporter") is None:
        raise UserError(
            "serving.telemetry: add fastapi[opentelemetry] to the dependencies in pyproject.toml, "
            "then make setup"
        )
    return {"auto_configure": True}
