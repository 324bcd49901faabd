"""Checkpoints: the state of a training, readable on any device and any number of ranks.

The last two are kept. Each is written to a temporary file and then renamed, so that one of them
is complete at any moment. A damaged checkpoint is skipped.
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

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)  # for any sharding


@dataclass
class Progress:
    """Progress of a training.

    Parameters
    ----------
    history : list of dict
        Metrics of the finished epochs.
    step : int
        Finished steps of the current epoch.
    total : float
        Sum of the loss over the rows of these steps.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    step: int = 0
    total: float = 0.0


def collect(network: nn.Module, optimizer: Any, progress: Progress) -> dict[str, Any]:
    """Collect the state of a training from all ranks; the first one returns all of it."""
    weights, moments = get_state_dict(network, optimizer, options=WHOLE)
    return {"network": weights, "optimizer": moments, "progress": asdict(progress)}


def restore(fabric: Fabric, path: Path, network: nn.Module, optimizer: Any) -> Progress:
    """Restore the newest state on all ranks, from the files of the first one."""
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
    """Return the path of the checkpoint before the newest one."""
    return path.with_suffix(f".before{path.suffix}")


def write(path: Path, state: dict[str, Any]) -> None:
    """Write a state as the newest checkpoint, and keep the one before it."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        path.replace(before(path))
    unfinished.replace(path)


def read(path: Path) -> dict[str, Any] | None:
    """Return the newest undamaged state, or None if there is none."""
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
        except Exception as error:  # a damaged file can raise any exception
            why = (str(error).splitlines() or [type(error).__name__])[0]
            print(f"{candidate} is passed over, as it cannot be read: {why}", file=sys.stderr)
    return None
