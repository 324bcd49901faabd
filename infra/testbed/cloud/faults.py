"""A layer before the provider: it records each call, and responds to some with an error."""

from __future__ import annotations

import fnmatch
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qs

from werkzeug.wsgi import get_input_stream

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
# What AWS answers with where it is not 400.
STATUS = {
    "InsufficientInstanceCapacity": "500 Internal Server Error",
    "InternalError": "500 Internal Server Error",
    "RequestLimitExceeded": "503 Service Unavailable",
    "ServiceUnavailable": "503 Service Unavailable",
    "SlowDown": "503 Service Unavailable",
    "UnauthorizedOperation": "403 Forbidden",
    "AccessDenied": "403 Forbidden",
    "NotFound": "404 Not Found",
}


@dataclass(frozen=True)
class Call:
    """One call of the provider's API."""

    when: float
    """Seconds since the epoch."""
    name: str
    """`ec2:RunInstances`; of what has no action the method: `s3:PUT`, `metadata:GET`."""
    caller: str
    """Address that it came from: a machine's own, or the gateway's, which is this computer."""
    about: str
    """Path, and the form that was sent."""


@dataclass
class Fault:
    """Calls that are answered with an error."""

    call: str
    """Pattern of names, such as `s3:*`."""
    error: str
    """Code of the error, as AWS spells it."""
    times: int | None = None
    """How often; None for until it is taken away."""
    until: float | None = None
    """Seconds since the epoch; None for ever."""
    about: str = ""
    """What the call must contain, such as a subnet's id."""
    callers: str = "*"
    """Pattern of the addresses that it is meant for."""

    def takes(self, call: Call) -> bool:
        """Whether a call is to fail; counts it if so."""
        matches = (
            self.times != 0
            and (self.until is None or call.when < self.until)
            and fnmatch.fnmatchcase(call.name, self.call)
            and fnmatch.fnmatchcase(call.caller, self.callers)
            and self.about in call.about
        )
        if matches and self.times:
            self.times -= 1
        return matches


class Faults:
    """A WSGI application around another."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self.application = application
        self.lock = threading.Lock()
        self.calls: list[Call] = []
        self.faults: list[Fault] = []

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        """Let a call through, or answer it with an error."""
        call = read(environ)
        with self.lock:
            self.calls.append(call)
            fault = next((one for one in self.faults if one.takes(call)), None)
        if fault is None:
            return self.application(environ, start)
        # A body that nobody reads would be taken for the next call of the connection.
        get_input_stream(environ).read()
        start(STATUS.get(fault.error, "400 Bad Request"), [("Content-Type", "text/xml")])
        return [refusal(call, fault.error)]

    def set(self, wanted: list[dict[str, Any]]) -> None:
        """Put other faults in the place of those that are."""
        with self.lock:
            self.faults = [Fault(**one) for one in wanted]

    def written(self) -> list[dict[str, Any]]:
        """Return the calls so far."""
        with self.lock:
            return [asdict(call) for call in self.calls]


def read(environ: dict[str, Any]) -> Call:
    """Return what is called, and by whom."""
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    signed = re.search(
        r"Credential=[^/]+/\d+/[\w-]+/([\w-]+)/", environ.get("HTTP_AUTHORIZATION", "")
    )
    service = "metadata" if path.startswith("/latest/") else signed[1] if signed else "unsigned"
    action, form = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2], ""
    if "x-www-form-urlencoded" in environ.get("CONTENT_TYPE", ""):
        sent = get_input_stream(environ).read()
        environ["wsgi.input"] = io.BytesIO(sent)
        form = sent.decode(errors="replace")
        action = parse_qs(form).get("Action", [action])[0]
    name = f"{service}:{action or method}"
    return Call(time.time(), name, environ.get("REMOTE_ADDR", ""), f"{path} {form}".strip())


def refusal(call: Call, error: str) -> bytes:
    """Format an error as the service does."""
    service, message = call.name.partition(":")[0], f"from the testbed: {error}"
    if service == "s3":
        text = f"<Error><Code>{error}</Code><Message>{message}</Message></Error>"
    elif service == "ec2":
        text = (
            f"<Response><Errors><Error><Code>{error}</Code><Message>{message}</Message></Error>"
            "</Errors><RequestID>0</RequestID></Response>"
        )
    elif "Action=" in call.about:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{error}</Code>"
            f"<Message>{message}</Message></Error><RequestId>0</RequestId></ErrorResponse>"
        )
    else:
        return json.dumps({"__type": error, "message": message}).encode()
    return f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
