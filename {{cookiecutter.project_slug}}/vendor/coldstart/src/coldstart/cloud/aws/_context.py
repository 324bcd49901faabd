"""What the checks know of each other's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from coldstart.cloud.aws._account import profile_name
from coldstart.cloud.aws._choices import Choices

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
BOOTSTRAP = "make cloud-bootstrap EMAIL=me@x"


class Asked(Protocol):
    """The machines that a job would have: settings of `make doctor`."""

    gpu: str | None
    spot: bool
    nodes: int


@dataclass
class Context:
    """Who asks, for what, and where.

    Attributes
    ----------
    gpu_type
        The smallest type of instance with the GPU that was asked for, once it was looked for.
    """

    asked: Asked
    name: str
    choices: Choices
    region: str = ""
    account: str = ""
    partition: str = "aws"
    gpu_type: str = ""

    @property
    def profile(self) -> str:
        """The machine's instance profile."""
        return profile_name(self.name)

    def launcher(self) -> str:
        """How rights are given to whoever launches."""
        policy = f"arn:{self.partition}:iam::{self.account}:policy/{self.profile}-launcher"
        return f"let an administrator attach {policy} (made by {BOOTSTRAP})"
