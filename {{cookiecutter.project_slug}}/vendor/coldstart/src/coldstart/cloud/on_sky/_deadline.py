"""The machine's own end: it needs neither this computer nor SkyPilot's controller.

SkyPilot's daemon on a machine can end it, with the rights that the machine itself has. For a job
it waits until that is done, and a job that hangs is never done; and each new machine would begin to
count anew. So each script first tells the daemon the moment, and to wait for nothing.
"""

from __future__ import annotations

AFTER = 3  # minutes that a machine is kept after its job, for whoever watches over it
# The daemon's Python is where SkyPilot has put it; it stops a machine that is over its time within
# a minute. A script that comes too late ends at once, and its machine soon after: were it gone
# before SkyPilot has heard why, it would be taken for lost, and another rented, again and again.
SCRIPT = """\
end_this_machine_after() {
  env -u PYTHONPATH "$(cat "${SKY_RUNTIME_DIR:-$HOME}/.sky/python_path")" -c "
from sky.skylet import autostop_lib
autostop_lib.set_autostop($1, 'cloudvmray', autostop_lib.AutostopWaitFor.NONE, True)"
}
minutes=$(((DEADLINE - $(date +%s)) / 60))
late=$((minutes < 1))
if [ $late = 1 ]; then minutes=AFTER; fi
[ "${SKYPILOT_NODE_RANK:-0}" != 0 ] || end_this_machine_after $minutes || exit 1
[ $late = 0 ] || { echo "error: out of time: HOURS=... allows more"; exit 1; }
"""
LAST = """\
trap '[ "${SKYPILOT_NODE_RANK:-0}" != 0 ] || end_this_machine_after AFTER' EXIT
"""


def guarded(script: str, deadline: int, last: bool = False) -> str:
    """A script of a machine that ends itself at the deadline.

    Parameters
    ----------
    last
        Whether the machine is of no use after it.
    """
    before = SCRIPT.replace("DEADLINE", str(deadline)) + (LAST if last else "")
    before = before.replace("AFTER", str(AFTER))
    if last:
        # A program in the script's place would take the trap with it.
        script = f"(\n{script}\n)\n"
    return before + script
