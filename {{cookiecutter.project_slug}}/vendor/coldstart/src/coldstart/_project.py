"""The project that uses the engine: the parts that it hands over."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Project:
    """A project built on the engine.

    The parts are object references, `module:name`, so that a command imports only what it uses:
    serving does not import training code. Commands run in the project's folder, as make, Docker and
    CI run them; paths are relative to it.

    Parameters
    ----------
    package : str, default="coldstart"
        Name of the project's Python package; `python -m PACKAGE` runs its commands.
    train : str, default=""
        Function of a `Settings` that trains and registers models.
    families : str, default=""
        Dictionary from a model type's name to the function that builds its pipeline.
    search_spaces : str, default=""
        Dictionary from a model type's name to the ranges that `make tune` searches.
    derived : str, default=""
        Dictionary from a derived column's name to the function that computes it.
    app : str, default=""
        Function of a `ModelService` that makes the FastAPI application.
    """

    package: str = "coldstart"
    train: str = ""
    families: str = ""
    search_spaces: str = ""
    derived: str = ""
    app: str = ""

    def load(self, part: str) -> Any:
        """Import and return a part.

        Parameters
        ----------
        part : str
            Name of one of the parameters that are object references.

        Returns
        -------
        object
            The object that the reference names.

        Raises
        ------
        LookupError
            If the project does not provide that part.
        """
        reference = str(getattr(self, part))
        module, _, name = reference.partition(":")
        if not name:
            raise LookupError(f"the project {self.package} hands over no {part}")
        return getattr(importlib.import_module(module), name)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that runs one of the project's commands in a new process.

        Parameters
        ----------
        *arguments : str
            Name of the command, and its options.

        Returns
        -------
        list of str
            The Python interpreter, `-m`, the package, and the arguments.
        """
        return [sys.executable, "-m", self.package, *arguments]

    @property
    def title(self) -> str:
        """Name of the project in words."""
        return self.package.replace("_", " ").capitalize()

    @property
    def env_prefix(self) -> str:
        """Prefix of the environment variables that hold settings."""
        return f"{self.package.upper()}_"
