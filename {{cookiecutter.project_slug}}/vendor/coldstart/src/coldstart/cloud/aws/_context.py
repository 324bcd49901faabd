"""What the checks of AWS know of each other's results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from coldstart.cloud.aws._account import profile_name
from coldstart.errors import UserError

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
BOOTSTRAP = "make cloud-bootstrap EMAIL=me@example.org"
TASK = Path("infra/train.sky.yaml")


@dataclass
class Context:
    """Whose account it is, for which machines, and where.

    Attributes
    ----------
    project : str
        Name of the project.
    store : str
        The object store that infra/train.sky.yaml names, or an empty string.
    gpu : str, optional
        GPUs of one machine, such as ``L4:1``.
    spot : bool
        Whether spot machines are wanted.
    nodes : int
        Number of machines.
    gpu_type : str
        Smallest type of instance with that GPU, once a check has looked for it.
    """

    project: str
    store: str
    gpu: str | None
    spot: bool
    nodes: int
    region: str = ""
    account: str = ""
    partition: str = "aws"
    gpu_type: str = ""

    @property
    def profile(self) -> str:
        """Name of the machines' instance profile."""
        return profile_name(self.project)

    def attach_launcher(self) -> str:
        """Return the hint how a user gets permission to launch."""
        policy = f"arn:{self.partition}:iam::{self.account}:policy/{self.profile}-launcher"
        return f"let an administrator attach {policy} (created by {BOOTSTRAP})"


def read_store() -> str:
    """Return the object store that infra/train.sky.yaml names, or an empty string.

    Raises
    ------
    UserError
        If the file is not a SkyPilot task.
    """
    if not TASK.is_file():
        return ""
    try:
        # A task may be a pipeline of several documents. The first one counts.
        task = next(iter(yaml.safe_load_all(TASK.read_text(encoding="utf-8"))), None) or {}
        return str((task.get("envs") or {}).get("STORE") or "")
    except (yaml.YAMLError, AttributeError) as error:
        message = " ".join(str(error).split())
        raise UserError(f"{TASK} is not a SkyPilot task: {message}") from None
