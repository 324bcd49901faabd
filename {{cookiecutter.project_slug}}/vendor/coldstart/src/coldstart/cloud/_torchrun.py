"""torchrun, whose exit code is 2 if a rank has ended by a mistake of the user.

torchrun itself ends with 1 whatever its ranks ended with, so that nobody who starts it knows
whether to start it again.
"""

from __future__ import annotations

import sys
import time

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

MISTAKE = 2  # exit code of each command
# Seconds in which the ranks of other machines notice the end of that rank, and look into the store
# why it ended: the store ends with the first machine's torchrun.
LINGER = 5.0


def main(arguments: list[str]) -> int:
    """Start the ranks of this machine, and wait for their end. Return 2 if one of them did, else 0.

    Raises
    ------
    ChildFailedError
        If a rank ended otherwise.
    """
    try:
        run.main(arguments)
    except ChildFailedError as error:
        if any(failure.exitcode == MISTAKE for failure in error.failures.values()):
            time.sleep(LINGER)
            return MISTAKE
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
