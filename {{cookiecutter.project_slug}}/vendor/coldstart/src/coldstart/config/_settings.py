"""Settings of a project: config.yaml, then the environment, then the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

from pydantic import AliasChoices, Field, PrivateAttr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from coldstart._project import Project
from coldstart._yaml import read_yaml
from coldstart.config._sections import (
    DataSettings,
    DecisionSettings,
    Metric,
    NeuralSettings,
    Seconds,
    ServingSettings,
    SplitSettings,
)

UI_PORT = 5001  # 5000 is taken on macOS
CONFIG, CHECKPOINTS = Path("config.yaml"), Path("checkpoints")


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


class ConfigFile(YamlConfigSettingsSource):
    """The settings of config.yaml."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return read_yaml(file_path) or {}


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
    metric : str, optional
        The primary metric, which models are chosen by, as scikit-learn's scorers are called. By
        default it follows from the target.
    decision : DecisionSettings, optional
        How the decision threshold of two classes is chosen.
    models : list of str, optional
        Model types to train; `ensemble` is a weighted average of them. By default all that suit the
        rows, within the budget.
    budget : float, default=120.0
        CPU time for model types that `models` does not name, in seconds.
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
    coverage : float, default=0.9
        Share of outcomes that prediction intervals and sets are made to contain.
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
    metric: Metric | None = Field(
        None, description="which models are chosen by; by default it follows from the target"
    )
    decision: DecisionSettings = DecisionSettings()
    models: list[str] | None = Field(
        None,
        min_length=1,
        description="model types, or ensemble; by default all that suit",
    )
    budget: Seconds = Field(
        120.0, description="CPU time for model types that `models` does not name"
    )
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
    coverage: float = Field(
        0.9, ge=0.5, lt=1, description="of outcomes, by prediction intervals and sets"
    )
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
