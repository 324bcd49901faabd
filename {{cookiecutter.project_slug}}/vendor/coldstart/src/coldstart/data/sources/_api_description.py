"""The description of a REST API: a short YAML file that says how it is requested."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from coldstart._yaml import read_yaml
from coldstart.config._sections import Section
from coldstart.data.sources._addresses import expand_variables
from coldstart.errors import UserError, describe


class ApiDescription(Section):
    """How an API is requested. `auth` and `paginator` are dlt's, as its documentation describes.

    Attributes
    ----------
    base_url, path : str
        Address of the API, and of the records in it.
    records : str
        Where in a response the records are, such as `data.items`. By default it is detected.
    params, headers : dict
        Of each request.
    cursor : str
        Field that grows from record to record. With it, only new records are requested.
    since : str
        Parameter that requests records from a cursor on. Without it all pages are requested, and
        known records are left out.
    start : object
        Cursor to start from.
    order : {"ascending", "descending"}
        Whether the cursor rises or falls from record to record, if that is certain. If it rises, an
        interrupted import resumes at its last record. If it falls, pages are requested until a
        known record comes.
    key : list of str
        Fields that identify a record. By default, equal records are one.
    requests_per_second : float
        At most. Default 5.
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
        """Return a hash of what the records depend on."""
        content = self.model_dump_json(exclude={"auth", "headers", "requests_per_second"})
        return hashlib.sha256(content.encode()).hexdigest()[:12]


def load_description(path: Path) -> ApiDescription:
    """Load the description of an API, and fill in environment variables.

    Raises
    ------
    UserError
        If it is not YAML, a key is unknown, missing or wrong, or a variable is not set.
    """
    described = read_yaml(path)
    try:
        if not isinstance(described, dict):
            raise UserError(
                "it does not describe an API, which needs at least `base_url: https://...`"
            )
        if isinstance(described.get("auth"), str):
            raise UserError("auth should be as in {type: bearer, token: ...}")  # may be the token
        # With its secrets filled in, it would be shown where something is wrong.
        ApiDescription.model_validate(fill_variables(described, secrets=False))
        return ApiDescription.model_validate(fill_variables(described))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error, ApiDescription.model_fields)}") from None


def fill_variables(part: Any, secrets: bool = True) -> Any:
    """Fill environment variables into all texts of a description, and write dates as texts."""
    if isinstance(part, dict):
        return {name: fill_variables(value, secrets) for name, value in part.items()}
    if isinstance(part, list):
        return [fill_variables(value, secrets) for value in part]
    if isinstance(part, dt.date):  # YAML makes one of 2026-01-31
        return part.isoformat()
    return expand_variables(part) if isinstance(part, str) and secrets else part
