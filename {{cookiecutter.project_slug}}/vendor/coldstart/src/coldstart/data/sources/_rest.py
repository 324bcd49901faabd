"""A REST API that returns its records in pages, through dlt.

dlt's `rest_api` source requests the pages, as a short YAML file describes. The records go to a
JSON Lines file as they arrive. After a kill the import resumes from that file: dlt's own
pipelines resume only from complete extractions.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from requests import ConnectionError, HTTPError, JSONDecodeError, RequestException, Timeout
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from coldstart.data.sources._addresses import redact
from coldstart.data.sources._api_description import ApiDescription, load_description
from coldstart.data.sources._import_log import ImportRecord
from coldstart.data.sources._resuming import ResumeState
from coldstart.data.sources._sources import Source
from coldstart.errors import UserError

ATTEMPTS, BACKOFF = 8, 0.2  # seconds before the second attempt; then twice as long each time


class RateLimitedAdapter(HTTPAdapter):
    """Sends a limited number of requests per second, including retries."""

    def __init__(self, requests_per_second: float) -> None:
        super().__init__()
        self.interval, self.next = 1 / requests_per_second, 0.0

    def send(self, *args: Any, **kwargs: Any) -> Any:
        time.sleep(max(0.0, self.next - time.monotonic()))
        self.next = time.monotonic() + self.interval
        return super().send(*args, **kwargs)


def read_api(source: Source, into: Path, previous: ImportRecord | None) -> dict[str, Any]:
    """Write all records, or those since the import before, as JSON Lines.

    Parameters
    ----------
    source : Source
        The description's file.
    into : Path
        An empty folder.
    previous : ImportRecord or None
        The import before.

    Returns
    -------
    dict
        `cursor` of the last record, `ends` the same by file, and `digest` of the description.

    Raises
    ------
    UserError
        If dlt is missing, the description is wrong, or the API refuses or does not return JSON.
    """
    api = load_description(Path(source.location))
    state = previous.state if previous else {}
    if state and state.get("digest") != api.digest():
        print(f"{source.address} has changed: its records are requested from the beginning")
        state = {}
    # Records of another description or start would not belong to this import.
    key = hashlib.sha256(f"{api.digest()} {state.get('cursor')}".encode()).hexdigest()[:8]
    part = into.with_suffix(f".{key}.part")
    if not api.cursor:  # nothing says where the import was interrupted
        part.unlink(missing_ok=True)
    resume = ResumeState(api, state, previous, part)
    if resume.rows:
        print(f"{source.address}: resuming after {resume.rows} records")
    bar = tqdm(desc=source.name, initial=resume.rows, unit="record", disable=None, leave=False)
    with part.open("a", buffering=1, encoding="utf-8") as file, bar:
        for record in request_records(api, resume.start, source.address):
            if resume.add(record):
                file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
                bar.update()
    ends = dict(state.get("ends", {}))
    if resume.rows:
        name = f"{source.name}-{len(ends) + 1:05}.jsonl"
        ends[name] = resume.last
        part.replace(into / name)
    else:
        part.unlink()
    return {"digest": api.digest(), "cursor": resume.last, "ends": ends}


def request_records(api: ApiDescription, start: Any, address: str) -> Iterator[dict[str, Any]]:
    """Yield the records of page after page.

    Raises
    ------
    UserError
        If dlt is missing, or the API cannot be reached, refuses, or does not return JSON.
    """
    # Nothing is sent to dlt's makers, and nothing is written to the home directory.
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
    os.environ["DLT_DATA_DIR"] = str(Path("data/raw/.incoming/dlt").absolute())
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
        client.session.mount(scheme, RateLimitedAdapter(api.requests_per_second))
    endpoint: dict[str, Any] = {"path": api.path, "params": api.params, "paginator": api.paginator}
    endpoint |= {"data_selector": api.records} if api.records else {}
    if api.cursor:
        # A record without the cursor passes here, and ResumeState reports it in one line.
        path = {"cursor_path": api.cursor, "on_cursor_value_missing": "include"}
        order = {"row_order": "desc"} if api.order == "descending" else {}
        since = {"start_param": api.since} if api.since and start is not None else {}
        endpoint["incremental"] = {**path, "initial_value": start, **order, **since}
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
        raise UserError(f"{address}: {explain_error(error)}") from None


def explain_error(error: BaseException) -> str:
    """Explain the first cause of an error, without what dlt wraps around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, HTTPError) and error.response is not None:
        response = error.response
        return f"{redact(response.url)} returned {response.status_code} {response.reason}"
    if isinstance(error, JSONDecodeError):
        return "the API did not return JSON"
    if isinstance(error, ConnectionError | Timeout):
        return "the API cannot be reached"
    return " ".join(str(error).split())[:300]
