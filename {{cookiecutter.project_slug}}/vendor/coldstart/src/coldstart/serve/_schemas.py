"""Types of requests and responses, made from the data contract."""

from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from coldstart.contract._contract import Contract

MAX_ROWS = 10_000
REF = "ref"
NO_LAG = "a forecast needs a value of at least one of {}"
Ref = Annotated[
    str,
    Field(
        max_length=1000,
        description="Your own key of the row: returned with its prediction, and logged",
    ),
]
Row = dict[str, Any]
COVERAGE = "Share of the outcomes that such intervals or sets are made to contain"
SET = "Of more than two classes: those that contain the outcome with this coverage"


class Label(BaseModel):
    """A predicted class, its probability, and the probabilities of all classes."""

    label: str
    probability: float
    probabilities: dict[str, float]
    set: list[str] | None = Field(None, description=SET)
    coverage: float | None = Field(None, description=COVERAGE)
    ref: Ref | None = None


class Value(BaseModel):
    """A predicted number, and its prediction interval if the model has some."""

    value: float
    low: float | None = Field(None, description="Lower end of the prediction interval")
    high: float | None = Field(None, description="Upper end of the prediction interval")
    coverage: float | None = Field(None, description=COVERAGE)
    ref: Ref | None = None


def passes_ref(contract: Contract) -> bool:
    """Return whether a row's `ref` is passed through: not if it is one of the features."""
    return REF not in contract.features


def row_type(contract: Contract) -> Any:
    """Return the type of one row: its fields, limits and documentation.

    Parameters
    ----------
    contract : Contract
        The data contract.

    Returns
    -------
    type
        A TypedDict, since a column may have any name; rows arrive as they are encoded.
    """
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
    if passes_ref(contract):
        fields[REF] = NotRequired[Ref | None]
    row: Any = TypedDict("Row", fields)  # type: ignore[misc]
    row.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    lags = list(contract.target_lags)
    if not lags:
        return row

    def has_a_lag(values: Row) -> Row:
        if all(values[name] is None for name in lags):
            raise ValueError(NO_LAG.format(", ".join(lags)))
        return values

    return Annotated[row, AfterValidator(has_a_lag)]


def request_type(contract: Contract, max_rows: int) -> Any:
    """Return the Pydantic model of a request: one row, or up to `max_rows`."""
    row: Any = row_type(contract)

    class Rows(BaseModel):
        """One row or many."""

        model_config = ConfigDict(
            json_schema_extra={"examples": [{"rows": [contract.example()]}]}, extra="forbid"
        )
        rows: Annotated[list[row], Field(min_length=1, max_length=max_rows)]

    return Rows


def response_type(classifies: bool) -> Any:
    """Return the Pydantic model of a response.

    Parameters
    ----------
    classifies : bool
        Whether classes are predicted, and not numbers.
    """
    prediction: Any = Label if classifies else Value

    class Predictions(BaseModel):
        """A prediction for each row, in order."""

        predictions: list[prediction]
        model_version: str

    return Predictions
