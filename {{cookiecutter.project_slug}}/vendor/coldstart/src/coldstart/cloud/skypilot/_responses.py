"""How a program in SkyPilot's environment answers: see `environment.ask`.

It is called as `python -m MODULE FUNCTION`, reads arguments as JSON, and answers with a line of
JSON; with exit code 1 it says why not.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def answer(*functions: Callable[..., Any]) -> None:
    """Call the function that is asked for."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # SkyPilot talks: to the person, not into the answer
    (function,) = (one for one in functions if one.__name__ == sys.argv[1])
    try:
        print(json.dumps(function(**json.load(sys.stdin))), file=answers)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        print(json.dumps(said(error)), file=answers)
        sys.exit(1)


def said(error: BaseException) -> str:
    """What an error says, in a line without colours; of a log that it names, the last line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)) or type(error).__name__
    if named := re.search(r"View logs at: (\S+)", text):
        log = Path(named[1]).expanduser()
        text += "".join([": ", *log.read_text(errors="replace").splitlines()[-1:]])
    return " ".join(text.split())[:400]
