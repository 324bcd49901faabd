"""A REST API that gives its records in pages, by way of dlt.

dlt's `rest_api` source asks for the pages; how the API is spoken to is a short YAML
file. The records go to a JSON Lines file as they come. That file is also the memory
of where a run was killed: dlt's own pipelines go on from a finished extraction only.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import Field, ValidationError
from requests import ConnectionError, HTTPError, JSONDecodeError, RequestException, Timeout
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from coldstart.config._settings import Section
from coldstart.data.sources._memory import Memory
from coldstart.data.sources._sources import Source, fill, without_secrets
from coldstart.errors import UserError, describe

if TYPE_CHECKING:
    from coldstart.data.sources._imports import Arrival

ATTEMPTS, BACKOFF = 8, 0.2  # seconds before the second attempt; then twice as long each time


class Api(Section):
    """How an API is spoken to. `auth` and `paginator` are dlt's, as its documentation has them.

    Attributes
    ----------
    records
        Where in an answer the records are, as `data.items`; found out if left out.
    cursor
        Field that grows from record to record; with it, only what is new is asked for.
    since
        Parameter that asks for records from a cursor on. Without it every page is asked
        for, and what was there before is left out.
    order
        Whether the cursor rises or falls from record to record, if it is sure to. Rising,
        a run that was killed goes on at its last record; falling, pages are asked for
        until a known record comes.
    key
        Fields that name a record; without them two that are alike are one.
    """

    base_url: str
    path: str = ""
    records: str | None = None
    params: dict[str, Any] = Field({})
    headers: dict[str, str] = Field({})
    auth: dict[str, Any] | None = None
    paginator: str | dict[str, Any] = "auto"
    cursor: str | None = None
    since: str | None = None
    start: int | float | str | None = None
    order: Literal["ascending", "descending"] | None = None
    key: list[str] = Field([])
    requests_per_second: float = Field(5, gt=0)

    def digest(self) -> str:
        """What the records depend on: after a change, those of before are no beginning."""
        asked = self.model_dump_json(exclude={"auth", "headers", "requests_per_second"})
        return hashlib.sha256(asked.encode()).hexdigest()[:12]


class Paced(HTTPAdapter):
    """Sends at most so many requests a second, repeated ones among them."""

    def __init__(self, requests_per_second: float) -> None:
        super().__init__()
        self.interval, self.next = 1 / requests_per_second, 0.0

    def send(self, *args: Any, **kwargs: Any) -> Any:
        time.sleep(max(0.0, self.next - time.monotonic()))
        self.next = time.monotonic() + self.interval
        return super().send(*args, **kwargs)


def read_api(source: Source, into: Path, previous: Arrival | None) -> dict[str, Any]:
    """Write all records, or those since the arrival before, as JSON Lines.

    Returns
    -------
    dict
        `cursor`: the last one's; `ends`: the same by file; `digest` of the description.

    Raises
    ------
    UserError
        If dlt is missing, the description is wrong, or the API refuses or answers no JSON.
    """
    api = load(Path(source.secret))
    state = previous.state if previous else {}
    if state and state.get("digest") != api.digest():
        print(f"{source.address} has changed: its records are asked for from the beginning")
        state = {}
    # Of another description or beginning, what was broken off would be no part of this.
    has_history = hashlib.sha256(f"{api.digest()} {state.get('cursor')}".encode()).hexdigest()[:8]
    part = into.with_suffix(f".{has_history}.part")
    if not api.cursor:  # nothing says where it was broken off
        part.unlink(missing_ok=True)
    memory = Memory(api, state, previous, part)
    if memory.rows:
        print(f"{source.address}: going on after {memory.rows} records, where it was broken off")
    bar = tqdm(desc=source.name, initial=memory.rows, unit="record", disable=None, leave=False)
    with part.open("a", buffering=1, encoding="utf-8") as file, bar:
        for record in records(api, memory.start, source.address):
            if memory.add(record):
                file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
                bar.update()
    ends = dict(state.get("ends", {}))
    if memory.rows:
        name = f"{source.name}-{len(ends) + 1:05}.jsonl"
        ends[name] = memory.last
        part.replace(into / name)
    else:
        part.unlink()
    return {"digest": api.digest(), "cursor": memory.last, "ends": ends}


def load(path: Path) -> Api:
    """Read the description of an API, with environment variables for `${NAME}`.

    Raises
    ------
    UserError
        If it is no YAML, a key is unknown, missing or wrong, or a variable is not set.
    """
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(described, dict):
            raise UserError("it describes no API: that needs at least `base_url: https://...`")
        if isinstance(described.get("auth"), str):
            raise UserError("auth should be as in {type: bearer, token: ...}")  # may be the token
        # With its secrets filled in, it would be shown where something is wrong.
        Api.model_validate(filled(described, secrets=False))
        return Api.model_validate(filled(described))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error, Api.model_fields)}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def filled(part: Any, secrets: bool = True) -> Any:
    """Put environment variables into all texts of a description; dates are texts, too."""
    if isinstance(part, dict):
        return {name: filled(value, secrets) for name, value in part.items()}
    if isinstance(part, list):
        return [filled(value, secrets) for value in part]
    if isinstance(part, dt.date):  # YAML makes one of 2026-01-31
        return part.isoformat()
    return fill(part) if isinstance(part, str) and secrets else part


def records(api: Api, start: Any, address: str) -> Iterator[dict[str, Any]]:
    """Ask for page after page.

    Raises
    ------
    UserError
        If dlt is missing, or the API cannot be reached, refuses or answers otherwise.
    """
    # Nothing is sent to dlt's makers, and nothing is written to the home directory.
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
    os.environ["DLT_DATA_DIR"] = str(Path("data/raw/.arriving/dlt").absolute())
    try:
        from dlt.common.exceptions import DltException
        from dlt.sources.helpers.requests import Client
        from dlt.sources.rest_api import rest_api_resources
    except ModuleNotFoundError:
        raise UserError(
            f"{address} describes an API, and dlt, which reads it, is not installed; run:\n"
            ".venv/bin/python -m uv pip install -c constraints.txt -e '.[train,api]'"
        ) from None
    client = Client(
        raise_for_status=False,  # dlt does, when the attempts are used up
        request_max_attempts=ATTEMPTS,
        request_backoff_factor=BACKOFF,
        request_max_retry_delay=60,
    )
    for scheme in ("http://", "https://"):
        client.session.mount(scheme, Paced(api.requests_per_second))
    endpoint: dict[str, Any] = {"path": api.path, "params": api.params, "paginator": api.paginator}
    endpoint |= {"data_selector": api.records} if api.records else {}
    if api.cursor:
        # A record without the cursor is let through to the one who says so in a line.
        path = {"cursor_path": api.cursor, "on_cursor_value_missing": "include"}
        order = {"row_order": "desc"} if api.order == "descending" else {}
        asked = {"start_param": api.since} if api.since and start is not None else {}
        endpoint["incremental"] = {**path, "initial_value": start, **order, **asked}
    config: Any = {
        "client": {"base_url": api.base_url, "headers": api.headers, "session": client.session},
        "resources": [{"name": "records", "endpoint": endpoint}],
    }
    config["client"] |= {"auth": api.auth} if api.auth else {}
    try:
        (resource,) = rest_api_resources(config)
        yield from resource
    except UserError:
        raise
    except (DltException, RequestException, ValueError, TypeError) as error:
        raise UserError(f"{address}: {explain(error)}") from None


def explain(error: BaseException) -> str:
    """What went wrong, in a line: the first cause, without what dlt puts around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, HTTPError) and error.response is not None:
        answer = error.response
        return f"{without_secrets(answer.url)} answers {answer.status_code} {answer.reason}"
    if isinstance(error, JSONDecodeError):
        return "the API answered something else than JSON"
    if isinstance(error, ConnectionError | Timeout):
        return "the API cannot be reached"
    return " ".join(str(error).split())[:300]
