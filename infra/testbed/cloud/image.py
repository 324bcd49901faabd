"""What the machines boot, built on the engine if it has changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from machines import docker

HERE = Path(__file__).with_name("ami")
NAME = "coldstart-machine"


def build(skypilot: str) -> str:
    """Build the image if it does not exist.

    Parameters
    ----------
    skypilot
        Version of SkyPilot that machines are prepared for.

    Returns
    -------
    Name of the image.
    """
    files = sorted(HERE.iterdir())
    contents = b"".join(path.name.encode() + path.read_bytes() for path in files)
    name = f"{NAME}:{hashlib.sha256(contents + skypilot.encode()).hexdigest()[:12]}"
    if docker("image", "ls", "--quiet", name).strip():
        return name
    docker("build", "--quiet", "--build-arg", f"SKYPILOT={skypilot}", "--tag", name, str(HERE))
    return name
