"""Checkpoints: the state of a training, readable on any device and any number of ranks.

The last two are kept. Each is written beside the other and then put in its place, so that
there is a whole one at any moment; one that is broken all the same is passed over.
"""

from __future__ import annotations

import os
import sys
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)  # however it is shared out


@dataclass
class Progress:
    """How far a training is.

    Attributes
    ----------
    history
        Metrics of the epochs that are done.
    step, total
        Steps of the epoch after them, and the sum of the loss over their rows.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    step: int = 0
    total: float = 0.0


def collect(network: nn.Module, optimizer: Any, progress: Progress) -> dict[str, Any]:
    """Put a training's state together; every rank takes part, and the first one has it."""
    weights, moments = get_state_dict(network, optimizer, options=WHOLE)
    return {"network": weights, "optimizer": moments, "progress": asdict(progress)}


def restore(fabric: Fabric, path: Path, network: nn.Module, optimizer: Any) -> Progress:
    """Go back to the newest state there is; the first rank's files are those of all."""
    state = fabric.broadcast(read(path) if fabric.is_global_zero else None)
    if state is None:
        return Progress()
    set_state_dict(
        network,
        optimizer,
        model_state_dict=state["network"],
        optim_state_dict=state["optimizer"],
        options=StateDictOptions(full_state_dict=True),
    )
    return Progress(**state["progress"])


def before(path: Path) -> Path:
    """Where the checkpoint before the newest one is."""
    return path.with_suffix(f".before{path.suffix}")


def write(path: Path, state: dict[str, Any]) -> None:
    """Put a state in its place, whole; what was there becomes the one before."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        path.replace(before(path))
    unfinished.replace(path)


def read(path: Path) -> dict[str, Any] | None:
    """Read the newest state that is whole; None if there is none."""
    for candidate in (path, before(path)):
        if not candidate.exists():
            continue
        try:
            with zipfile.ZipFile(candidate) as archive:  # torch does not compare the checksums
                if broken := archive.testzip():
                    raise ValueError(f"its {broken} is broken")
            state: dict[str, Any] = torch.load(candidate, map_location="cpu", weights_only=True)
            Progress(**state["progress"])
            return state
        except Exception as error:  # whatever garbage may cause
            why = (str(error).splitlines() or [type(error).__name__])[0]
            print(f"{candidate} is passed over, as it cannot be read: {why}", file=sys.stderr)
    return None
