"""Where a model is from, and the command that makes it again, with the same metrics."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, YamlConfigSettingsSource

from coldstart._project import Project
from coldstart._provenance import git
from coldstart.bundle._bundle import Manifest
from coldstart.config._sections import DataSettings
from coldstart.config._settings import CONFIG, Settings

IRRELEVANT = {"models", "budget"}  # which models are tried changes none of them


class FromFile(Settings):
    """The settings as config.yaml alone says them."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Neither the environment nor the command line counts."""
        return YamlConfigSettingsSource(settings_cls, CONFIG), init_settings


def command(models: Collection[str], provenance: dict[str, Any]) -> str:
    """Return the command that reproduces a training, with settings that config.yaml lacks."""
    nothing = DataSettings(table=Path())  # where the file does not say it
    project = Project(provenance["package"])
    said = FromFile(data=nothing).for_project(project).choices()
    chosen = provenance["settings"]
    words = []
    for name in sorted(chosen.keys() - IRRELEVANT):
        value, usual = chosen[name], said[name]
        if value == usual:
            continue
        if isinstance(value, dict):
            value = {key: part for key, part in value.items() if part != usual.get(key)}
        text = value if isinstance(value, str) else json.dumps(value)
        words.append(f"{project.env_prefix}{name.upper()}={shlex.quote(text)}")
    line = " ".join([*words, "make", "train", f"MODEL={','.join(models)}"])
    commit = provenance["git_commit"]
    return line if commit == "none" else f"git checkout {commit} && {line}"


def reproduce(manifest: Manifest) -> list[str]:
    """Return paragraphs on how to reproduce a model, and what prevents it."""
    provenance = manifest.provenance
    models = [*manifest.members, manifest.family]
    lines = [f"```\n{command(models, provenance)}\n```"]
    if provenance["git_commit"] == "none":
        lines.append("It was trained outside of git, so changes of the code are not recorded.")
    elif provenance["git_dirty"]:
        lines.append("It was trained with uncommitted changes, so the commit alone is not enough.")
    data = provenance["settings"]["data"]["table"]
    if git("ls-files", "--", data) == "":
        lines.append(f"`{data}` is not in git: a fresh clone needs the same data first.")
    lines.append(
        f"The prepared table is the same if its SHA-256 is `{provenance['data']}`. The new card "
        "then shows the same metrics."
    )
    return lines


def origin(provenance: dict[str, Any]) -> str:
    """Return the run, the commit, the time and the versions."""
    commit = f"git commit `{provenance['git_commit']}`"
    if provenance["git_commit"] == "none":
        commit = "outside of git"
    elif provenance["git_dirty"]:
        commit += " with uncommitted changes"
    libraries = [f"{name} {version}" for name, version in provenance["libraries"].items()]
    return (
        f"Run `{provenance['run_id']}`, {commit}, trained at {provenance['trained_at']} with "
        f"Python {provenance['python']}, {', '.join(libraries)}."
    )
