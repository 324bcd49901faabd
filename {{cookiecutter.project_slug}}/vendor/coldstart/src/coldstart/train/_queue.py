"""Which model types are trained, in which order, and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tqdm import tqdm

from coldstart.config._settings import Settings
from coldstart.data._dataset import Dataset
from coldstart.errors import UserError
from coldstart.train._baselines import LeakError
from coldstart.train._context import ENSEMBLE, Family
from coldstart.train._fitting import cpu_seconds, estimate_seconds

PATIENCE = 1.5  # factor by which the last model may exceed the budget


class TrainingQueue:
    """The model types to train: those in config.yaml, or all that suit, in the budget.

    The budget is CPU time of this process, all its threads, and the processes that it waited for.
    So a busy machine tries the same model types as an idle one, and two cores as many as sixteen.

    Parameters
    ----------
    families : mapping of str to callable
        All model types by name, in the order of training. If rows are few, boosting is last.
    settings : Settings
        The project's settings: `models` and `budget`.
    dataset : Dataset
        The prepared rows.
    unsuitable : mapping of str to str
        Model types that do not suit the rows, and why.
    """

    def __init__(
        self,
        families: Mapping[str, Family],
        settings: Settings,
        dataset: Dataset,
        unsuitable: Mapping[str, str],
    ) -> None:
        self.families, self.settings, self.dataset = families, settings, dataset
        suitable = [name for name in families if name not in unsuitable]
        if len(dataset.splits) > 1:  # for few rows it is the slowest, and rarely the best
            suitable.sort(key=lambda name: name == "boosting")
        self.names = [name for name in settings.models or suitable if name != ENSEMBLE]
        if not settings.models and unsuitable:
            print("not tried:", "; ".join(f"{name}: {why}" for name, why in unsuitable.items()))
        self._start = cpu_seconds()
        self._trained: list[str] = []
        self._refused: dict[str, str] = {}
        self._too_slow: list[str] = []

    def __iter__(self) -> Iterator[str]:
        """Yield the names of model types, until the budget is spent."""
        left, budget = list(self.names), self.settings.budget
        with tqdm(total=len(left), unit="model", disable=None, leave=False) as bar:
            while left and (self.settings.models or not self._trained or self._spent() < budget):
                name = left.pop(0)
                bar.set_description(name)
                if not self._takes_too_long(name):
                    yield name
                bar.update()
        if left or self._too_slow:
            why = f"not tried, since the budget is {budget:g} s of CPU time"
            print(f"{why}: {', '.join([*self._too_slow, *left])}; more: make train BUDGET=5m")

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Train a model type in this context: an error does not stop the other model types.

        Parameters
        ----------
        name : str
            Name of the model type.

        Yields
        ------
        None
            The body of the context trains the model.

        Raises
        ------
        LeakError
            If a test score suggests a leak, which stops the training.
        """
        try:
            yield
        except LeakError:
            raise
        except UserError as error:
            self._refused[name] = str(error)
        else:
            self._trained.append(name)

    def tries_ensemble(self) -> bool:
        """Return whether to try an ensemble.

        Returns
        -------
        bool
            Whether config.yaml names it among the model types, or names none and the budget is not
            spent by far.
        """
        if self.settings.models:
            return ENSEMBLE in self.settings.models
        return self._spent() < PATIENCE * self.settings.budget

    def finish(self) -> None:
        """Print the model types that failed.

        Raises
        ------
        UserError
            If a model type that config.yaml names has failed, or all have.
        """
        lines = [f"{name}: {why}" for name, why in self._refused.items()]
        if lines and (self.settings.models or not self._trained):
            raise UserError("\n".join(lines))
        if lines:
            print("refused:", *lines, sep="\n  ")

    def _spent(self) -> float:
        return cpu_seconds() - self._start

    def _takes_too_long(self, name: str) -> bool:
        """Whether a model type would exceed the budget by far; it is then left out."""
        if not self._trained or self.settings.models:
            return False
        try:
            seconds = estimate_seconds(self.families[name], self.settings, self.dataset)
        except UserError as error:
            self._refused[name] = str(error)
            return True
        if self._spent() + seconds <= PATIENCE * self.settings.budget:
            return False
        self._too_slow.append(f"{name} would take about {seconds:.0f} s")
        return True
