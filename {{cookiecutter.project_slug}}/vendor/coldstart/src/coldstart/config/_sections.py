"""Sections of config.yaml: their settings, defaults and limits."""

from __future__ import annotations

import codecs
import datetime as dt
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NaiveDatetime,
    PlainValidator,
    field_validator,
    model_validator,
)


def seconds(value: Any) -> Any:
    """Parse a time such as 90, 90s, 5m or 1h."""
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", value)
        if not found:
            raise ValueError("expected a time such as 90s, 5m or 1h")  # the value is added
        return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
    return value


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class Join(Section):
    """A second table, joined to the first by a key.

    Parameters
    ----------
    file : Path
        File of the table.
    key : str
        Column that both tables have. Its values are unique in this one.
    """

    file: Path
    key: str


class Dialect(Section):
    """How a file is written. Parameters that are not set are detected, and printed.

    Parameters
    ----------
    encoding : str, optional
        Python's name of the encoding, such as utf-8, cp1252 or utf-16.
    delimiter : str, optional
        Text between fields. A blank stands for any run of blanks.
    quote : str, optional
        Character that fields are quoted with.
    header : bool, optional
        Whether there is a header.
    skip, footer : int, optional
        Number of lines above and below the table.
    sheet : str, optional
        Sheet of an Excel file.
    ragged : {"quarantine", "refuse"}, default="quarantine"
        What to do with rows that have too many or too few fields.
    """

    encoding: str | None = Field(None, description="Python's name: utf-8, cp1252, utf-16")
    delimiter: str | None = Field(None, min_length=1, description="a blank: any run of blanks")
    quote: str | None = Field(None, min_length=1, max_length=1)
    header: bool | None = Field(None, description="whether there is a header")
    skip: int | None = Field(None, ge=0, description="lines above the table")
    footer: int | None = Field(None, ge=0, description="lines below the table")
    sheet: str | None = Field(None, description="of an Excel file")
    ragged: Literal["quarantine", "refuse"] = Field(
        "quarantine", description="rows with too many or too few fields"
    )

    @field_validator("ragged", mode="before")
    @classmethod
    def _quarantine_was_called_otherwise(cls, value: Any) -> Any:
        if value == "set aside":
            raise ValueError("the value 'set aside' is now called 'quarantine': write that")
        return value

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, name: str | None) -> str | None:
        try:
            return name and codecs.lookup(name).name
        except LookupError:
            raise ValueError(f"there is no encoding {name!r}; try cp1252 or utf-8") from None


def path_or_address(value: Any) -> Path | str:
    """Return an address in an object store as text, and anything else as a path."""
    if not isinstance(value, str | Path):
        raise ValueError("expected a path, or an address such as s3://bucket/folder/*.parquet")
    return str(value) if str(value).startswith("s3://") else Path(value)


class DataSettings(Section):
    """Where the table is, and how its files are written.

    Parameters
    ----------
    table : Path or str
        A file, a folder (all tables in it) or a pattern such as `data/raw/*.csv`. Files with the
        same columns are concatenated. Parquet may be in an object store:
        `s3://bucket/folder/*.parquet`.
    joins : list of Join, default=[]
        Tables to join to it.
    dialect : Dialect, optional
        How its files are written. By default detected.
    """

    table: Annotated[Path | str, PlainValidator(path_or_address)]
    joins: list[Join] = []
    dialect: Dialect = Dialect()


Metric = Literal[
    "average_precision",
    "roc_auc",
    "f1",
    "f1_macro",
    "accuracy",
    "balanced_accuracy",
    "neg_log_loss",
    "r2",
    "neg_mean_absolute_error",
    "neg_root_mean_squared_error",
]
"""A metric that models are chosen by, as scikit-learn's scorers are called."""


class DecisionSettings(Section):
    """How the decision threshold of two classes is chosen on the validation rows.

    By default it maximizes F1, or the setting `metric`, if that depends on the threshold.

    Parameters
    ----------
    min_recall : float, optional
        Share of the rows of the second class to find. The threshold is the highest that does.
    false_positive_cost, false_negative_cost : float, optional
        Cost of a false alarm and of a miss, in any unit. The threshold has the least cost.
    """

    min_recall: float | None = Field(
        None, gt=0, le=1, description="share of the second class to find"
    )
    false_positive_cost: float | None = Field(None, gt=0, description="of a false alarm")
    false_negative_cost: float | None = Field(None, gt=0, description="of a miss")

    @property
    def has_costs(self) -> bool:
        """Whether the threshold has the least cost."""
        return self.false_positive_cost is not None

    @model_validator(mode="after")
    def _is_one_rule(self) -> Self:
        costs = [self.false_positive_cost, self.false_negative_cost]
        if costs.count(None) == 1:
            raise ValueError("set both false_positive_cost and false_negative_cost, or neither")
        if self.min_recall is not None and None not in costs:
            raise ValueError("set min_recall or the two costs, not both")
        return self


class SplitSettings(Section):
    """How rows are split.

    Parameters
    ----------
    train_until, validate_until, test_until : date or datetime, optional
        The first day, or the first moment, after the training, the validation and the test set.
        They require a column with the role time.
    train, validation : float, default=0.7 and 0.15
        Fraction of the rows in the training and in the validation set, if no dates are set.
    cross_validate_below : int, default=1000
        Number of rows below which the table is split several times.
    """

    train_until: dt.date | NaiveDatetime | None = None
    validate_until: dt.date | NaiveDatetime | None = None
    test_until: dt.date | NaiveDatetime | None = None
    train: Fraction = 0.7
    validation: Fraction = 0.15
    cross_validate_below: int = 1000

    @model_validator(mode="after")
    def _fractions_leave_room(self) -> Self:
        if self.train + self.validation >= 1:
            raise ValueError("train and validation leave no rows to test on")
        return self


class NeuralSettings(Section):
    """The neural network and its training.

    Parameters
    ----------
    hidden : list of int, default=[64, 32]
        Width of each hidden layer.
    dropout : float, default=0.1
        Fraction of the hidden units to drop in training.
    batch_size : int, default=512
        Rows in a step, of all processes together.
    learning_rate : float, default=6e-3
        Learning rate of AdamW.
    weight_decay : float, default=1e-2
        Weight decay of AdamW.
    stream : bool, default=False
        Whether to train on all rows of Parquet files, instead of on a sample.
    epochs : int, default=40
        Maximum number of epochs.
    patience : int, default=3
        Epochs without improvement before training stops.
    checkpoint_seconds : float, default=1.0
        Minimum time between checkpoints, in seconds.
    accelerator : {"auto", "cpu", "gpu", "mps"}, default="auto"
        Device to train on.
    devices : int, default=1
        Number of processes, one for each device, that share each batch.
    strategy : {"ddp", "fsdp"}, default="ddp"
        How processes share the model: each holds all of it, or a part.
    """

    # Settings of where and how it runs: they do not change the model, so it may resume elsewhere.
    EXECUTION: ClassVar = {"accelerator", "devices", "strategy", "checkpoint_seconds"}

    hidden: list[Annotated[int, Field(gt=0)]] = Field([64, 32], min_length=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    batch_size: int = Field(512, gt=0, description="rows in a step, of all processes")
    learning_rate: float = Field(6e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    stream: bool = Field(False, description="train on all rows of Parquet files, not on a sample")
    epochs: int = Field(40, gt=0, description="at most")
    patience: int = Field(3, gt=0, description="epochs without improvement before it stops")
    checkpoint_seconds: float = Field(
        1.0, ge=0, description="seconds between checkpoints, at least"
    )
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    devices: int = Field(1, gt=0, description="processes, one a device, that share each batch")
    strategy: Literal["ddp", "fsdp"] = Field(
        "ddp", description="fsdp: each process holds a part of the model"
    )


class LogSettings(Section):
    """Logs of the API.

    Parameters
    ----------
    form : {"auto", "text", "json"}, default="auto"
        Format of the log. `auto` is text in a terminal, and JSON otherwise.
    requests : {"failed", "all"}, default="failed"
        Requests to log.
    """

    form: Literal["auto", "text", "json"] = Field(
        "auto", description="auto: text in a terminal, else JSON"
    )
    requests: Literal["failed", "all"] = Field("failed", description="which are logged")


class PredictionLogSettings(Section):
    """The prediction log, which `make monitor` reads.

    Parameters
    ----------
    folder : Path, optional
        Folder for the Parquet files. By default no predictions are logged.
    share : float, default=1.0
        Fraction of the requests to log.
    megabytes : int, default=500
        Maximum size on disk. The oldest files are deleted first.
    """

    folder: Path | None = Field(None, description="of Parquet files; by default none are kept")
    share: float = Field(1.0, gt=0, le=1, description="of the requests")
    megabytes: int = Field(500, gt=0, description="on disk; the oldest are deleted")


class ServingSettings(Section):
    """The API: address, access, limits and logs.

    Parameters
    ----------
    title : str, default=""
        Title of the page and of /docs. By default the package's name.
    host : str, default="127.0.0.1"
        Address to listen on.
    port : int, default=8000
        Port to listen on.
    workers : int, default=1
        Number of processes.
    keys : Path, optional
        File of API keys, which `make key` writes. By default a request needs no key.
    per_minute : int, optional
        Maximum number of requests a minute of one key, or of one address. By default unlimited.
    max_concurrency : int, default=256
        Maximum number of requests in progress. Further requests get status 503.
    max_bytes : int, default=8_000_000
        Maximum size of a request's body.
    max_rows : int, default=10_000
        Maximum number of rows in a request of JSON or tensors.
    file_bytes : int, default=2_000_000_000
        Maximum size of a CSV file or an Arrow stream.
    request_timeout : float, default=10.0
        Maximum time for a request to arrive, in seconds.
    response_timeout : float, default=30.0
        Maximum time to predict many rows, in seconds.
    origins : list of str, default=[]
        Origins of web pages that may call the API, such as `https://me.org`.
    providers : list of str, default=["CPUExecutionProvider"]
        Execution providers of onnxruntime, such as `CUDAExecutionProvider`, in the order in which
        they are tried. Others than the CPU's need another package than `onnxruntime`.
    docs : bool, default=True
        Whether to serve /, /docs and /openapi.json.
    telemetry : bool, default=False
        Whether to send OpenTelemetry traces and metrics, configured by `OTEL_...` variables.
    logs : LogSettings, optional
        Logs of the API.
    record : PredictionLogSettings, optional
        The prediction log.
    canary : float, default=0.0
        Fraction of the requests that the challenger predicts.
    shadow : bool, default=False
        Whether to log the challenger's predictions, too. Requires `record.folder`.
    """

    title: str = Field("", description="of the page and /docs; by default the package's name")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    workers: int = Field(1, gt=0, description="processes")
    keys: Path | None = Field(
        None, description="file of keys (make key); by default none is needed"
    )
    per_minute: int | None = Field(None, gt=0, description="requests of one key, or address")
    max_concurrency: int = Field(256, gt=0, description="requests in progress; more get 503")
    max_bytes: int = Field(8_000_000, gt=0, description="of a request's body")
    max_rows: int = Field(10_000, gt=0, le=10_000, description="in a request of JSON or tensors")
    file_bytes: int = Field(2_000_000_000, gt=0, description="of a CSV or an Arrow stream")
    request_timeout: float = Field(10.0, gt=0, description="seconds for a request to arrive")
    response_timeout: float = Field(30.0, gt=0, description="seconds to predict many rows")
    origins: list[str] = Field([], description="of pages that may call it: https://me.org")
    providers: list[str] = Field(
        ["CPUExecutionProvider"], min_length=1, description="of onnxruntime, the first one first"
    )
    docs: bool = Field(True, description="whether to serve /, /docs and /openapi.json")
    telemetry: bool = Field(False, description="OpenTelemetry, as OTEL_... variables say")
    logs: LogSettings = LogSettings()
    record: PredictionLogSettings = PredictionLogSettings()
    canary: float = Field(0.0, ge=0, le=1, description="share of requests for the challenger")
    shadow: bool = Field(False, description="log the challenger's predictions, too")

    @model_validator(mode="before")
    @classmethod
    def _some_were_called_otherwise(cls, values: Any) -> Any:
        for old, new in (
            ("at_once", "max_concurrency"),
            ("patience", "request_timeout"),
            ("deadline", "response_timeout"),
        ):
            if isinstance(values, dict) and old in values:
                raise ValueError(f"the setting {old} is now called {new}: write that")
        return values

    @model_validator(mode="after")
    def _shadow_is_logged(self) -> Self:
        if self.shadow and not self.record.folder:
            raise ValueError("shadow predictions are only logged: set record.folder as well")
        return self
