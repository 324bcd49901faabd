"""The end of a machine at the deadline, without this computer and SkyPilot's controller.

SkyPilot's daemon on a machine can end it, with the machine's own permissions. For a job it waits
until that is done, and a job that hangs is never done; and each replacement would begin to count
anew. So each script first tells the daemon when to end the machine, and to wait for nothing.
"""

from __future__ import annotations

# Minutes that a machine is kept after its job, for SkyPilot's controller to see the result.
KEEP_MINUTES = 3
# The daemon's Python is where SkyPilot has put it. It ends a machine that is past its deadline
# within a minute. A script that starts too late exits at once, and its machine ends soon after:
# if it ended before SkyPilot knows why, it would count as lost, and be replaced again and again.
SCRIPT = """\
end_this_machine_after() {
  env -u PYTHONPATH "$(cat "${SKY_RUNTIME_DIR:-$HOME}/.sky/python_path")" -c "
from sky.skylet import autostop_lib
autostop_lib.set_autostop($1, 'cloudvmray', autostop_lib.AutostopWaitFor.NONE, True)"
}
minutes=$(((DEADLINE - $(date +%s)) / 60))
late=$((minutes < 1))
if [ $late = 1 ]; then minutes=KEEP; fi
[ "${SKYPILOT_NODE_RANK:-0}" != 0 ] || end_this_machine_after $minutes || exit 1
[ $late = 0 ] || { echo "error: out of time; HOURS=... allows more"; exit 1; }
"""
LAST = """\
trap '[ "${SKYPILOT_NODE_RANK:-0}" != 0 ] || end_this_machine_after KEEP' EXIT
"""


def end_at_deadline(script: str, deadline: int, last: bool = False) -> str:
    """Return a script that first sees to it that its machine ends at the deadline.

    Parameters
    ----------
    script : str
        Lines of bash.
    deadline : int
        Seconds since 1970.
    last : bool, default=False
        Whether the machine is not needed after the script.

    Returns
    -------
    str
        Lines of bash.
    """
    before = SCRIPT.replace("DEADLINE", str(deadline)) + (LAST if last else "")
    before = before.replace("KEEP", str(KEEP_MINUTES))
    if last:
        # `exec` in the script would otherwise drop the trap.
        script = f"(\n{script}\n)\n"
    return before + script
