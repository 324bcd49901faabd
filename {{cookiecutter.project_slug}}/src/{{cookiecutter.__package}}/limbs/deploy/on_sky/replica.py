"""What runs in a replica: SkyPilot starts it as root, and it serves without any rights."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ....settings import PACKAGE
from ..keys import unpacked

STATE = Path("state")  # in the image; its owner is who serves


def main() -> None:
    """Write the file of keys, become who owns it, and serve."""
    keys, owner = unpacked(STATE), STATE.stat()
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
    command = [sys.executable, "-m", PACKAGE, "serve", "--serving.host", "0.0.0.0"]
    command += ["--serving.port", "8000"]
    if keys:
        command += ["--serving.keys", str(keys)]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
