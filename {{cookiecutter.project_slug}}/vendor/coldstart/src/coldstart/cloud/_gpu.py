"""The GPU of a machine: whether torch can use it, and how long a first step takes.

`python -m coldstart.cloud._gpu` is for a machine that was rented with a GPU. It prints JSON, or why
the GPU cannot be used. It is a process of its own, since whatever uses a GPU keeps memory there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from coldstart._diagnostics import Finding, ok, wrong

# The oldest driver for each major version of CUDA, from NVIDIA's table of minor-version
# compatibility: https://docs.nvidia.com/deploy/cuda-compatibility/
DRIVERS = {11: 450, 12: 525, 13: 580}
PCI, NVIDIA = Path("/sys/bus/pci/devices"), "0x10de"
REBUILD = "rm -r .venv && TORCH=auto make setup"
NO_GPU = "no NVIDIA GPU"


def gpu() -> Finding:
    """Check that torch is built for the GPU, and that its driver is new enough for that."""
    if not shutil.which("nvidia-smi"):
        if any(map(is_gpu, PCI.glob("*"))):
            message = "there is an NVIDIA GPU without a driver: training would use the CPU"
            return wrong("gpu", message, "https://www.nvidia.com/drivers")
        return ok("gpu", NO_GPU)
    query = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    if query.returncode or "," not in query.stdout:
        reason = (query.stdout + query.stderr).strip().splitlines() or ["it prints nothing"]
        hint = "sudo reboot; if that does not help, https://www.nvidia.com/drivers"
        return wrong("gpu", f"its driver does not respond ({reason[0]})", hint)
    name, driver = query.stdout.splitlines()[0].rsplit(", ", 1)
    import torch  # takes seconds

    cuda = torch.version.cuda
    if not cuda:
        return wrong("gpu", f"{name} would not be used: torch is built for the CPU", REBUILD)
    oldest = DRIVERS.get(int(cuda.split(".")[0]), 0)
    if int(driver.split(".")[0]) < oldest:
        message = f"driver {driver} is too old for torch with CUDA {cuda}: {oldest} or newer"
        return wrong(
            "gpu", message, f"{REBUILD} (installs a build that fits), or update the driver"
        )
    if not torch.cuda.is_available():
        hint = '.venv/bin/python -c "import torch; torch.cuda.init()" prints the reason'
        return wrong("gpu", f"torch does not reach {name}", hint)
    return ok("gpu", f"{name}, driver {driver}, torch with CUDA {cuda}")


def is_gpu(device: Path) -> bool:
    """Return whether a PCI device is a display or 3D controller of NVIDIA's."""
    vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
    return vendor == NVIDIA and kind.startswith("0x03")


def time_step() -> float:
    """Return the seconds of a first step of training, in which CUDA is loaded."""
    import torch

    start = time.perf_counter()
    network = torch.nn.Linear(64, 64).cuda()
    network(torch.ones(64, 64, device="cuda")).sum().backward()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> int:
    """Print the GPU and the time of a step, and return 2 if there is none that can be used."""
    found = gpu()
    if found.state == "wrong" or found.message == NO_GPU:
        print(found.message)
        return 2
    try:
        seconds = time_step()
    except RuntimeError as error:  # such as: no kernel image is available for the device
        print(f"{found.message}: {str(error).splitlines()[0]}")
        return 2
    print(json.dumps({"gpu": found.message, "gpu_step_seconds": round(seconds, 3)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
