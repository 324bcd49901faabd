"""What runs in a replica: SkyPilot starts it as root, and it serves without any rights."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ....errors import UserError
from ....serving import serve
from ....settings import Record, Settings
from ..keys import unpacked

STATE = Path("state")  # in the image; its owner is who serves


def main() -> None:
    """Write the file of keys, become who owns its folder, and serve.

    Raises
    ------
    UserError
        If the champion cannot be used.
    """
    keys, owner = unpacked(STATE), STATE.stat()
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
    # The image holds the champion alone, and what a replica keeps goes with it.
    changes = {"keys": keys, "record": Record(), "canary": 0.0, "shadow": False}
    here = {"host": "0.0.0.0", "port": 8000}
    serve(Path("bundles/champion"), Settings().serving.model_copy(update=changes | here))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
