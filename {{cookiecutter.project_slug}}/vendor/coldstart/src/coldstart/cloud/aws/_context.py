"""What the checks of AWS know of each other's results."""

from __future__ import annotations

from dataclasses import dataclass

from coldstart.cloud.aws._account import profile_name

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
BOOTSTRAP = "make cloud-bootstrap EMAIL=me@example.org"


@dataclass
class Context:
    """Whose account it is, for which machines, and where.

    Attributes
    ----------
    project : str
        Name of the project.
    store : str
        The object store that infra/train.sky.yaml names, or an empty string.
    gpus : list of str
        GPUs of one machine, such as ``L4:1``, any of which would do. Empty for none.
    spot : bool
        Whether spot machines are wanted.
    nodes : int
        Number of machines.
    region : str
        The region that `ON=` names, then the one that is used.
    bucket_region : str or None
        The region of the bucket, once a check has asked for it and AWS says it.
    gpu_type : str
        Smallest type of instance with that GPU, once a check has looked for it.
    """

    project: str
    store: str
    gpus: list[str]
    spot: bool
    nodes: int
    region: str = ""
    account: str = ""
    partition: str = "aws"
    bucket_region: str | None = None
    gpu_type: str = ""

    @property
    def profile(self) -> str:
        """Name of the machines' instance profile."""
        return profile_name(self.project)

    def attach_launcher(self) -> str:
        """Return the hint how a user gets permission to launch."""
        policy = f"arn:{self.partition}:iam::{self.account}:policy/{self.profile}-launcher"
        return f"let an administrator attach {policy} (created by {BOOTSTRAP})"
