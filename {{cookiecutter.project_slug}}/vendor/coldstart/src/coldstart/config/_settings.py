"""Settings of a project: config.yaml, then the environment, then the command line."""

from __future__ import annotations

import codecs
import datetime as dt
import os
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NaiveDatetime,
    PlainValidator,
    PrivateAttr,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from coldstart._project import Project
from coldstart._yaml import read_yaml

UI_PORT = 5001  # 5000 is taken on macOS
CONFIG, CHECKPOINTS = Path("config.yaml"), Path("checkpoints")


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


def rank_of() -> tuple[int, int]:
    """Return the rank that torchrun started this process with, and the number of ranks.

    Returns
    -------
    rank, world_size : int
        0 and 1 if torchrun did not start it.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


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
    dropout : float, default=0.3
        Fraction of the hidden units to drop in training.
    batch_size : int, default=512
        Rows in a step, of all processes together.
    learning_rate : float, default=3e-3
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

    hidden: list[Annotated[int, Field(gt=0)]] = [64, 32]
    dropout: float = Field(0.3, ge=0, lt=1)
    batch_size: int = Field(512, gt=0, description="rows in a step, of all processes")
    learning_rate: float = Field(3e-3, gt=0)
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


class ConfigFile(YamlConfigSettingsSource):
    """The settings of config.yaml."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return read_yaml(file_path) or {}


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


class Settings(BaseSettings):
    """All settings of a project.

    Parameters
    ----------
    data : DataSettings
        Where the table is, and how its files are written.
    contract : Path, default=Path("schema.yaml")
        File of the data contract.
    split : SplitSettings, optional
        How rows are split.
    models : list of str, optional
        Model types to train. By default all that suit the rows, within the budget.
    budget : float, default=60.0
        Time for model types that `models` does not name, in seconds.
    tuned : dict of str to dict, default={}
        Hyperparameters by model type, from `make tune`.
    leak_threshold : float, optional
        Test score above which a leak is assumed and the training stops.
    training_rows : int, default=500_000
        Maximum number of rows to train on. Of more rows a random sample is drawn.
    seed : int, default=0
        Seed of the random numbers.
    fresh : bool, default=False
        Whether to start anew instead of resuming an interrupted training.
    choose : bool, default=True
        Whether to make the best model the challenger.
    margin : float, default=0.02
        Loss of the primary metric that a smaller or faster model may have to replace the champion.
    experiment : str, default=""
        Name of the experiment and of the registered model in MLflow. By default the package's
        name.
    tracking_uri : str, default="sqlite:///mlflow.db"
        Address of the tracking store. `MLFLOW_TRACKING_URI` sets it as well.
    neural : NeuralSettings, optional
        The neural network and its training.
    serving : ServingSettings, optional
        The API.
    """

    model_config = SettingsConfigDict(
        extra="forbid",
        defer_build=True,
        env_prefix="COLDSTART_",  # load_settings gives the project's own
        env_nested_delimiter="__",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_exit_on_error=False,
        cli_hide_none_type=True,
        populate_by_name=True,
    )

    data: DataSettings
    contract: Path = Path("schema.yaml")
    split: SplitSettings = SplitSettings()
    models: list[str] | None = Field(
        None,
        min_length=1,
        description="model types; by default all that suit, in the budget",
    )
    budget: Seconds = Field(60.0, description="time for model types that `models` does not name")
    tuned: dict[str, dict[str, Any]] = Field(
        {}, description="hyperparameters by model type, from make tune"
    )
    leak_threshold: float | None = Field(
        None, description="a test score above this means a leak, and stops the training"
    )
    training_rows: int = Field(
        500_000, gt=0, description="rows to train on; of more rows a random sample is drawn"
    )
    seed: int = 0
    fresh: bool = Field(False, description="start anew instead of resuming an interrupted training")
    choose: bool = Field(True, description="make the best model the challenger")
    margin: float = Field(
        0.02, ge=0, description="loss of the metric that a smaller or faster champion may have"
    )
    experiment: str = Field("", description="in MLflow; by default the package's name")
    tracking_uri: str = Field(
        "sqlite:///mlflow.db",
        validation_alias=AliasChoices("tracking_uri", "MLFLOW_TRACKING_URI"),
    )
    neural: NeuralSettings = NeuralSettings()
    serving: ServingSettings = ServingSettings()
    _project: Project = PrivateAttr(default_factory=Project)

    @model_validator(mode="before")
    @classmethod
    def _one_was_called_otherwise(cls, values: Any) -> Any:
        if isinstance(values, dict) and "too_good" in values:
            raise ValueError("the setting too_good is now called leak_threshold: write that")
        return values

    @property
    def project(self) -> Project:
        """The project that these settings belong to."""
        return self._project

    def for_project(self, project: Project) -> Self:
        """Return these settings for a project.

        Parameters
        ----------
        project : Project
            The project.

        Returns
        -------
        Settings
            The same object.
        """
        self._project = project
        if not self.experiment:
            self.experiment = project.package
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of settings. Earlier ones override later ones.

        Parameters
        ----------
        settings_cls : type
            The class of the settings.
        init_settings : PydanticBaseSettingsSource
            Arguments of the constructor.
        env_settings : PydanticBaseSettingsSource
            Environment variables.
        dotenv_settings : PydanticBaseSettingsSource
            Not used: the command line puts `.env` into the environment.
        file_secret_settings : PydanticBaseSettingsSource
            Not used.

        Returns
        -------
        tuple of PydanticBaseSettingsSource
            Arguments, environment variables and config.yaml.
        """
        return init_settings, env_settings, ConfigFile(settings_cls, CONFIG)

    @classmethod
    def load(cls, project: Project) -> Self:
        """Load a project's settings from config.yaml and the environment.

        Parameters
        ----------
        project : Project
            The project, whose name is the prefix of environment variables.

        Returns
        -------
        Settings
            The settings.

        Raises
        ------
        pydantic.ValidationError
            If a setting is missing, unknown or wrong.
        """
        load: Any = cls
        settings: Self = load(_env_prefix=project.env_prefix)
        return settings.for_project(project)

    def choices(self) -> dict[str, Any]:
        """Return the settings that determine a training, to log with it.

        Returns
        -------
        dict
            JSON values by setting, without the address of the tracking store, which may contain a
            password.
        """
        decisive = set(Settings.model_fields) - {
            "tracking_uri",
            "serving",
            "choose",
            "fresh",
            "margin",
        }
        return self.model_dump(
            mode="json", include=decisive, exclude={"neural": NeuralSettings.EXECUTION}
        )
