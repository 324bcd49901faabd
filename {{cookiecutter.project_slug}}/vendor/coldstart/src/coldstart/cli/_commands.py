"""The commands that every project needs: fields are arguments, docstrings are help.

Each command imports its modules when it runs, so that other commands start fast.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from coldstart._collector import collector_paused
from coldstart.config._settings import UI_PORT, Settings
from coldstart.errors import UserError


class Command(Settings):
    """A command: the settings, and its own options.

    Attributes
    ----------
    alone : bool
        Whether the command writes files that another command may be writing. It then holds a lock.
    shown : tuple of str
        Settings of config.yaml that the help lists.
    """

    alone: ClassVar[bool] = False
    shown: ClassVar[tuple[str, ...]] = ()

    def run(self) -> int | None:
        """Run the command; return an exit code, or None for success."""
        raise NotImplementedError


class Prepare(Command):
    """Read, validate and split the data, without training."""

    alone = True

    def run(self) -> None:
        from coldstart._progress import StageTimer
        from coldstart.data._dataset import EXAMPLES, PREPARED, describe_split, prepare

        stages = StageTimer()
        dataset = prepare(self)
        stages.done(f"{EXAMPLES if self.neural.stream else PREPARED}: {describe_split(dataset)}")


class Train(Command):
    """Prepare the data, train and track every model, register the best."""

    alone = True
    shown = ("models", "budget", "fresh", "seed", "choose")

    def run(self) -> None:
        # Threads that spin while they wait halve the speed of a busy machine.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        self.project.load("train")(self)


class Promote(Command):
    """Make the challenger the champion, if it is better."""

    alone = True

    version: str | None = Field(None, description="to make the challenger first")

    def run(self) -> None:
        from coldstart.data._dataset import load
        from coldstart.tracking import _mlflow as tracking
        from coldstart.tracking import _registry as registry

        print(registry.promote(tracking.connect(self), self, load(self), self.version))


class Rollback(Command):
    """Bring the champion before this one back."""

    alone = True

    def run(self) -> None:
        from coldstart.tracking import _mlflow as tracking
        from coldstart.tracking import _registry as registry

        print(registry.rollback(tracking.connect(self), self))


class Pull(Command):
    """Copy champion and challenger from the registry to bundles/."""

    alone = True

    def run(self) -> None:
        from coldstart.tracking import _mlflow as tracking
        from coldstart.tracking import _registry as registry

        client = tracking.connect(self)
        for alias in (registry.CHAMPION, registry.CHALLENGER):
            print(f"{alias}: version {registry.pull(client, self, alias) or 'none'}")


class Serve(Command):
    """Serve the champion as an API."""

    bundle: Path | None = Field(None, description="another bundle than the champion's")

    def run(self) -> None:
        # The API is there a tenth of a second sooner without numpy's own threads, which spin
        # while they have nothing to do.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        with collector_paused():
            from coldstart.bundle._bundle import current_bundle  # its package loads onnxruntime
            from coldstart.serve._server import serve

        serve(self.project, self.bundle or current_bundle(), self.serving)


class Key(Command):
    """Make a key for the API; its hash is added to the file of keys."""

    name: str = Field(description="who will use it")
    file: Path = Field(Path("keys.txt"), description="the one that serving.keys names")

    def run(self) -> None:
        from coldstart.serve._access import new_key

        print(new_key(self.serving.keys or self.file, self.name))
        if not self.serving.keys:
            say = f"to ask for keys, in config.yaml below serving: 'keys: {self.file}'"
            print(say, file=sys.stderr)


class Predict(Command):
    """Score the rows of a file; without one, answer the contract's example."""

    file: Path | None = Field(None, description="CSV, TSV or Parquet")
    out: Path | None = Field(None, description="where the rows go, with the predictions")
    bundle: Path | None = Field(None, description="another bundle than the champion's")

    def run(self) -> None:
        if (self.file is None) != (self.out is None):
            raise UserError(
                "file and out go together: make predict FILE=in.csv OUT=out.csv "
                "(--file in.csv --out out.csv); without both, an example is answered"
            )
        from coldstart.bundle._bundle import current_bundle

        bundle = self.bundle or current_bundle()
        if self.file is None or self.out is None:
            from coldstart.serve._live_model import predict_example

            print(predict_example(bundle))
            print("your own rows: make predict FILE=in.csv OUT=out.csv, or make serve")
            return
        from coldstart._progress import StageTimer
        from coldstart.batch import predict_file

        stages = StageTimer()
        rows = predict_file(bundle, self.file, self.out)
        stages.done(f"{self.out}: {rows} rows")


class Ui(Command):
    """Open the MLflow page on the project's runs."""

    port: int = Field(UI_PORT, description="of the page")

    def run(self) -> int:
        from coldstart.tracking._ui import open_ui

        return open_ui(self, self.port)
