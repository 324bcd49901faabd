"""A request to one version of the function, as its URL passes it on."""

from __future__ import annotations

import json
import time
from typing import Any

from botocore.exceptions import ClientError

from coldstart._aws import error_code
from coldstart.errors import UserError

# A version without requests for weeks becomes inactive. The first request fails and reactivates it.
INACTIVE = ("ResourceConflictException", "ResourceNotReadyException")
TIMEOUT = 120  # seconds until it is active


def invoke(
    client: Any, function: str, version: str, method: str, path: str, body: str = ""
) -> tuple[int, str]:
    """Send a request to a version of the function; return status and body of the response.

    Raises
    ------
    UserError
        If the function fails; with its error message.
    """
    limit = time.monotonic() + TIMEOUT
    target = {"FunctionName": function, "Qualifier": version}
    while True:
        try:
            result = client.invoke(**target, Payload=json.dumps(make_event(method, path, body)))
        except ClientError as error:
            if error_code(error) not in INACTIVE or time.monotonic() > limit:
                raise
            time.sleep(1)
        else:
            break
    response = json.loads(result["Payload"].read())
    if "FunctionError" in result:
        reason = " ".join(str(response.get("errorMessage", response)).split())
        raise UserError(f"version {version} of the function fails: {reason[:300]}")
    return response["statusCode"], response.get("body", "")


def make_event(method: str, path: str, body: str = "") -> dict[str, Any]:
    """Return a request as an event in the payload format 2.0."""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "try"},
        "requestContext": {
            "http": {"method": method, "path": path, "sourceIp": "127.0.0.1"},
            "requestId": "try",
        },
        "body": body,
        "isBase64Encoded": False,
    }
