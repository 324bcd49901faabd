"""What the machines boot, built on the engine when what goes into it has changed."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from machines import docker

HERE = Path(__file__).with_name("ami")
NAME = "coldstart-machine"


def build(skypilot: str) -> str:
    """Build the image if it is not there.

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
    client = shutil.which("docker")
    assert client, "docker was found a moment ago"
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            shutil.copy(path, folder)
        shutil.copy(client, Path(folder, "docker-client"))
        docker("build", "--quiet", "--build-arg", f"SKYPILOT={skypilot}", "--tag", name, folder)
    return name
