"""A request to one version of the function, as its URL hands it on."""

from __future__ import annotations

import json
import time
from typing import Any

from botocore.exceptions import ClientError

from coldstart.deploy.on_aws._account import code
from coldstart.errors import UserError

# An image that nobody has asked for weeks is put away: the first request is refused, and brings it
# back.
ASLEEP = ("ResourceConflictException", "ResourceNotReadyException")
PATIENCE = 120  # seconds until it is there


def ask(
    client: Any, function: str, version: str, method: str, path: str, body: str = ""
) -> tuple[int, str]:
    """Send a request.

    Returns
    -------
    tuple of int and str
        Status and body of the answer.

    Raises
    ------
    UserError
        If the function fails; with what it said.
    """
    limit = time.monotonic() + PATIENCE
    sent = {"FunctionName": function, "Qualifier": version}
    while True:
        try:
            given = client.invoke(**sent, Payload=json.dumps(event(method, path, body)))
        except ClientError as error:
            if code(error) not in ASLEEP or time.monotonic() > limit:
                raise
            time.sleep(1)
        else:
            break
    said = json.loads(given["Payload"].read())
    if "FunctionError" in given:
        why = " ".join(str(said.get("errorMessage", said)).split())
        raise UserError(f"version {version} of the function fails: {why[:300]}")
    return said["statusCode"], said.get("body", "")


def event(method: str, path: str, body: str = "") -> dict[str, Any]:
    """Return an event in the payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "try"},
        "requestContext": {
            "domainName": "try",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "make deploy",
            },
            "requestId": "try",
            "routeKey": "$default",
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": False,
    }
