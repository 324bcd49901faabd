"""The end of a machine at the deadline, without this computer and SkyPilot's controller.

On AWS a machine plans its own shutdown at its boot, before SkyPilot connects to it; Slurm and
Kubernetes get a time limit. They end a machine whatever becomes of SkyPilot, and a while after the
deadline, so that SkyPilot hears of the job's end first.

SkyPilot's daemon on a machine can end it, with the machine's own permissions. For a job it waits
until that is done, and a job that hangs is never done; and each replacement would begin to count
anew. So each script first tells the daemon when to end the machine, and to wait for nothing.
"""

from __future__ import annotations

import json
import time
from typing import Any

# Providers whose machines end themselves from their boot on, by what `end_after_boot` and `limit`
# set. On all others that begins with the setup.
FROM_BOOT = ("aws", "kubernetes", "slurm")
# Minutes that a machine is kept after its job, for SkyPilot's controller to see the result.
KEEP_MINUTES = 3
# Minutes after the deadline, and least minutes after the boot: a machine that is too late needs
# some for its setup, which says so. In the last five, `shutdown` lets nobody log in.
GRACE_MINUTES, LEAST_MINUTES = 10, 12
# Run by root as the machine boots. A machine that shuts down is only stopped, and its disk costs
# money, unless the provider's setting is changed, which needs boto3 from SkyPilot's images.
AT_BOOT = (
    "m=$(((UNTIL - $(date +%s)) / 60)); shutdown -h +$((m > LEAST ? m : LEAST))",
    'for python in /home/*/skypilot-runtime/bin/python python3; do $python -c "import boto3, '
    "subprocess; ask = lambda name: subprocess.check_output(['cloud-init', 'query', name], "
    "text=True).strip(); boto3.client('ec2', region_name=ask('region')).modify_instance_attribute("
    "InstanceId=ask('instance_id'), Attribute='instanceInitiatedShutdownBehavior', "
    "Value='terminate')\" && break; done",
)
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


def describe_end(providers: set[str]) -> str:
    """Return a note that says from when on machines of these providers end themselves."""
    if late := " and ".join(sorted(providers.difference(FROM_BOOT))):
        return (
            f"machines of {late} end themselves from their setup on, before it only this computer "
            "ends them: stay online until the log says that the job runs"
        )
    return "machines end themselves from their boot on, whatever becomes of this computer"


def end_after_boot(config: dict[str, Any], deadline: int) -> dict[str, Any]:
    """Return SkyPilot's settings, with which a machine on AWS plans its end at its boot."""
    until = str(deadline + 60 * GRACE_MINUTES)
    ours = [
        # A list in JSON is one in YAML, whatever characters it has. SkyPilot inserts it as it is.
        json.dumps(["sh", "-c", line.replace("UNTIL", until).replace("LEAST", str(LEAST_MINUTES))])
        for line in AT_BOOT
    ]
    yours = (config.get("aws") or {}).get("post_provision_runcmd") or ()
    return overlay(config, {"aws": {"post_provision_runcmd": [*ours, *yours]}})


def limit(config: dict[str, Any], deadline: int) -> dict[str, Any]:
    """Return SkyPilot's settings in a task, with limits that Slurm and Kubernetes enforce."""
    minutes = max(1, int(deadline - time.time()) // 60)
    seconds = 60 * max(minutes + GRACE_MINUTES, LEAST_MINUTES)
    return overlay(
        config,
        {
            "slurm": {"sbatch_options": {"time": minutes}},
            "kubernetes": {"pod_config": {"spec": {"activeDeadlineSeconds": seconds}}},
        },
    )


def overlay(config: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return settings in which others are set, whatever sections there are."""
    found = dict(config)
    for key, value in more.items():
        found[key] = overlay(found.get(key) or {}, value) if isinstance(value, dict) else value
    return found


def end_at_deadline(script: str, deadline: int, last: bool = False) -> str:
    """Return a script that first sees to it that its machine ends at the deadline.

    `last` says that the machine is not needed after the script.
    """
    before = SCRIPT.replace("DEADLINE", str(deadline)) + (LAST if last else "")
    before = before.replace("KEEP", str(KEEP_MINUTES))
    if last:
        # `exec` in the script would otherwise drop the trap.
        script = f"(\n{script}\n)\n"
    return before + script
