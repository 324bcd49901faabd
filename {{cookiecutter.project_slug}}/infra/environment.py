"""Make the project's environment: `python infra/environment.py`. Needs Python alone.

torch comes first and by itself: together with other packages a resolver may choose
a build with 3 GB of CUDA although the machine has no GPU.

TORCH=cpu, cu129, ... takes that build of torch; TORCH=pypi takes the one on PyPI,
which on Linux carries CUDA. By default it is found out what suits the machine.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CONSTRAINTS = ROOT / "constraints.txt"
QUIET = "--disable-pip-version-check"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def main() -> None:
    """Make or renew `.venv`."""
    if sys.version_info < (3, 11):  # noqa: UP036 (an older one may read this)
        stop(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=...")
    if not PYTHON.exists():
        print(f"making {VENV.name}", flush=True)
        if subprocess.run([sys.executable, "-m", "venv", VENV], check=False).returncode:
            stop("Python's venv module is missing (on Debian and Ubuntu: apt install python3-venv)")
    if not PYTHON.with_name("uv.exe" if os.name == "nt" else "uv").exists():
        pip("install", "--quiet", "--constraint", CONSTRAINTS, "uv")

    folders = find_links()
    environment = {
        **os.environ,
        "UV_FIND_LINKS": ",".join(folders),
        "UV_SYSTEM_CERTS": "1",
        "UV_HTTP_RETRIES": os.environ.get("UV_HTTP_RETRIES", "1"),
        "VIRTUAL_ENV": str(VENV),
    }
    pinned = re.search(r"^torch==\S+", CONSTRAINTS.read_text(), re.MULTILINE)
    torch = pinned.group() if pinned else "torch"
    backend, source = choose_torch(torch, folders)
    print(f"installing {torch} from {source}", flush=True)
    if uv(environment, "install", *backend, torch):
        stop(
            f"{torch} could not be installed from {source}. If that cannot be reached from here:\n"
            "put a torch wheel into a folder and name it (pip config set global.find-links "
            "FOLDER), or take PyPI's build, on Linux 3 GB with CUDA (TORCH=pypi make setup)"
        )
    print("installing the other packages", flush=True)
    engine = ["--editable", f"{ROOT / 'vendor' / 'coldstart'}[all]"]
    packages = [*engine, "--editable", f"{ROOT}[dev]"]
    if uv(environment, "install", "--constraints", CONSTRAINTS, *packages):
        stop("the packages could not be installed: see above, and run make setup again")


def choose_torch(torch: str, folders: list[str]) -> tuple[list[str], str]:
    """Arguments for the build that suits the machine, and where it comes from."""
    wanted = os.environ.get("TORCH", "")
    wheel = torch.replace("==", "-")
    if wanted == "pypi":
        return [], "PyPI"
    if not wanted:
        for folder in folders:
            if any(Path(folder.removeprefix("file://")).glob(f"{wheel}*.whl")):
                return [], folder
    return [f"--torch-backend={wanted or 'auto'}"], "torch's own index"


def find_links() -> list[str]:
    """Folders of wheels that pip is configured with; uv does not read pip's configuration."""
    listed = pip("config", "list", capture_output=True, text=True).stdout
    found = re.findall(r"^\S*\.find-links='(.*)'$", listed, re.MULTILINE)
    places = [place for places in found for place in re.split(r"\s+|\\n|,", places)]
    places += os.environ.get("UV_FIND_LINKS", "").split(",")
    return sorted({place for place in places if place})


def pip(*arguments: str | Path, **options: bool) -> subprocess.CompletedProcess[str]:
    """Run the environment's own pip."""
    done = subprocess.run([PYTHON, "-m", "pip", QUIET, *arguments], check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        stop("pip failed: see above, and run this again")
    result: subprocess.CompletedProcess[str] = done
    return result


def uv(environment: dict[str, str], *arguments: str | Path) -> int:
    """Run uv's pip, and return its exit code."""
    command = [PYTHON, "-m", "uv", "pip", arguments[0], "--quiet", *arguments[1:]]
    return subprocess.run(command, env=environment, check=False).returncode


def stop(message: str) -> None:
    """Tell the person what is wrong, and end."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
