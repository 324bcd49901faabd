"""Make the project's environment: `python infra/environment.py`. Needs Python alone.

torch comes first and by itself: together with other packages a resolver may choose
a build with 3 GB of CUDA although the machine has no GPU.

uv checks each file that it installs against the hashes in constraints.txt, and refuses another.

TORCH=cpu, cu129, ... installs that build of torch; TORCH=pypi installs the one on PyPI,
which on Linux carries CUDA. By default the script chooses the build that suits the machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
PACKAGES = (
    *("--editable", f"{ROOT / 'vendor' / 'coldstart'}[all]"),
    *("--editable", f"{ROOT}[dev]"),
)
PYPI = "PyPI"
WINDOWS = os.name == "nt"


def main(folder: str | Path = ROOT / ".venv", *packages: str) -> None:
    """Make or renew an environment: torch, then the packages.

    Parameters
    ----------
    folder : str or Path
        The environment's folder; by default the project's `.venv`.
    *packages : str
        Arguments for `uv pip install`; by default the engine and the project, with their tools.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 (an older one may read this)
        stop(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=...")
    venv = Path(folder).resolve()
    python = venv / ("Scripts/python.exe" if WINDOWS else "bin/python")
    if not python.exists():
        print(f"making {venv.name}", flush=True)
        if subprocess.run([sys.executable, "-m", "venv", venv], check=False).returncode:
            stop("Python's venv module is missing (on Debian and Ubuntu: apt install python3-venv)")
    if not python.with_name("uv.exe" if WINDOWS else "uv").exists():
        with written(pin("uv")) as file:  # pip before 26.1 reads no hashes of constraints
            pip(python, "install", "--quiet", "--requirement", file)

    folders = find_links(python)
    environment = {
        **os.environ,
        "UV_FIND_LINKS": ",".join(folders),
        "UV_SYSTEM_CERTS": "1",
        "UV_HTTP_RETRIES": os.environ.get("UV_HTTP_RETRIES", "1"),
        "VIRTUAL_ENV": str(venv),
    }
    hashed = pin("torch")
    torch = re.split(r"[\s;]", hashed)[0]
    backend, source = choose_torch(torch, folders)
    # The hashes are those of PyPI's builds, and the others of a version have other ones.
    others = "" if source == PYPI else hashed
    note = " (constraints.txt has no hash of it)" if others else ""
    print(f"installing {torch} from {source}{note}", flush=True)
    with written(CONSTRAINTS.read_text(encoding="utf-8").replace(others, "")) as file:
        failed = uv(python, environment, "install", *backend, "--constraints", file, torch)
    if failed:
        stop(
            f"{torch} could not be installed from {source}: see above. If it cannot be reached:\n"
            "put a torch wheel into a folder and name it (pip config set global.find-links "
            "FOLDER), or take PyPI's build, on Linux 3 GB with CUDA (TORCH=pypi make setup)"
        )
    print("installing the other packages", flush=True)
    # Without sources: torch is there, and the engine is named.
    pinned = ("--no-sources", "--constraints", CONSTRAINTS, "--build-constraints", CONSTRAINTS)
    if uv(python, environment, "install", *pinned, *(packages or PACKAGES)):
        stop(
            "the packages could not be installed: see above, and run make setup again\n"
            "(after a hash mismatch, find out first who changed the file or constraints.txt)"
        )


def choose_torch(torch: str, folders: list[str]) -> tuple[list[str], str]:
    """Return uv's arguments for the build that suits the machine, and where it comes from."""
    wanted = os.environ.get("TORCH", "")
    wheel = torch.replace("==", "-")
    if wanted == "pypi":
        return [], PYPI
    if not wanted:
        for folder in folders:
            if any(Path(folder.removeprefix("file://")).glob(f"{wheel}*.whl")):
                return [], folder
    return [f"--torch-backend={wanted or 'auto'}"], "torch's own index"


def pin(name: str) -> str:
    """Return a package's line of constraints.txt, with the lines of its hashes."""
    text = CONSTRAINTS.read_text(encoding="utf-8")
    found = re.search(rf"^{name}==.*\n(?: .*\n)*", text, re.MULTILINE)
    return found.group() if found else f"{name}\n"


@contextlib.contextmanager
def written(text: str) -> Iterator[Path]:
    """Write a text to a file, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, CONSTRAINTS.name)
        file.write_text(text, encoding="utf-8")
        yield file


def find_links(python: Path) -> list[str]:
    """Return the folders of wheels that pip is configured with; uv reads no settings of pip."""
    listed = pip(python, "config", "list", capture_output=True, text=True).stdout
    found = re.findall(r"^\S*\.find-links='(.*)'$", listed, re.MULTILINE)
    places = [place for places in found for place in re.split(r"\s+|\\n|,", places)]
    places += os.environ.get("UV_FIND_LINKS", "").split(",")
    return sorted({place for place in places if place})


def pip(python: Path, *arguments: str | Path, **options: bool) -> subprocess.CompletedProcess[str]:
    """Run the environment's own pip."""
    command = [python, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        stop("pip failed: see above, and run this again")
    result: subprocess.CompletedProcess[str] = done
    return result


def uv(python: Path, environment: dict[str, str], *arguments: str | Path) -> int:
    """Run uv's pip, and return its exit code."""
    command = [python, "-m", "uv", "pip", arguments[0], "--quiet", *arguments[1:]]
    return subprocess.run(command, env=environment, check=False).returncode


def stop(message: str) -> None:
    """Print what is wrong, and exit."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main(*sys.argv[1:])
