"""Rows: what a request holds and what an answer says, from the contract."""

from typing import Annotated, Any, NotRequired

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from coldstart.contract._contract import Contract

MAX_ROWS = 10_000
Row = dict[str, Any]


class Label(BaseModel):
    """A class, its probability, and the probabilities of all classes."""

    label: str
    probability: float
    probabilities: dict[str, float]


class Value(BaseModel):
    """A predicted quantity."""

    value: float


def row_type(contract: Contract) -> Any:
    """Build the type of one row from the contract: its fields, limits and documentation."""
    fields: dict[str, Any] = {}
    for name, column in contract.features.items():
        about = Field(description=column.description or None)
        kind: Any = column.request_type()
        if name in contract.lags:  # without the past nothing can be forecast; a gap in it is null
            fields[name] = Annotated[kind | None, about]
        elif column.nullable:
            fields[name] = NotRequired[Annotated[kind | None, about]]
        else:
            fields[name] = Annotated[kind, about]
    # A TypedDict, since a column may have any name, and its rows come as they are scored.
    row: Any = TypedDict("Row", fields)  # type: ignore[misc]
    row.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    return row


def body_type(contract: Contract) -> Any:
    """Build the type of a request: one row or many."""
    row: Any = row_type(contract)

    class Rows(BaseModel):
        """One row or many."""

        model_config = ConfigDict(
            json_schema_extra={"examples": [{"rows": [contract.example()]}]}, extra="forbid"
        )
        rows: Annotated[list[row], Field(min_length=1, max_length=MAX_ROWS)]

    return Rows


def answer_type(classifies: bool) -> Any:
    """Build the type of an answer."""
    answer: Any = Label if classifies else Value

    class Predictions(BaseModel):
        """An answer for each row, in order."""

        predictions: list[answer]
        model_version: str

    return Predictions
