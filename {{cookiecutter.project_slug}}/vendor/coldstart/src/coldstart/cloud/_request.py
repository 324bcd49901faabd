"""What is requested of `make train ON=...`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from coldstart.config._settings import Settings


def provider_of(on: str) -> str:
    """Return the provider that `ON=` names, such as ``aws`` for ``aws/us-east-1``."""
    return re.split("[/:]", on)[0]


@dataclass(frozen=True)
class LaunchRequest:
    """A training on another machine: what to train, where, and what it may cost.

    Parameters
    ----------
    settings : Settings
        Settings of the training, of this moment.
    on : str
        The provider: ``docker``, ``ssh://me@host``, ``aws``, ``slurm``, ...
    gpu : str, optional
        GPUs of one machine, such as ``L4:1``, or ``none``. By default what
        infra/train.sky.yaml names.
    spot : bool, optional
        Whether to take spot machines. By default what infra/train.sky.yaml says.
    nodes : int, default=1
        Machines that share the training.
    dollars : float, optional
        The most that it may cost, in US dollars.
    hours : float, default=2
        Hours after which it is stopped.
    price : float, optional
        US dollars an hour of one machine, where the provider does not publish a price.
    detach : bool, default=False
        Whether to return once the job has started.
    dry_run : bool, default=False
        Whether to print the plan only.
    yes : bool, default=False
        Whether to start without a confirmation.
    """

    settings: Settings
    on: str
    gpu: str | None = None
    spot: bool | None = None
    nodes: int = 1
    dollars: float | None = None
    hours: float = 2.0
    price: float | None = None
    detach: bool = False
    dry_run: bool = False
    yes: bool = False

    @property
    def model_types(self) -> list[str]:
        """Names of the model types that may be trained."""
        return self.settings.models or list(self.settings.project.load("families"))

    @property
    def uses_gpu(self) -> bool:
        """Whether one of the model types uses a GPU, or the project does not say."""
        if not self.settings.project.families:
            return True
        families = self.settings.project.load("families")
        return any(getattr(families.get(name), "uses_gpu", False) for name in self.model_types)
