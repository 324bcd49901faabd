"""Limbs: one folder for each capability beyond the way of the data.

A limb is a package with `commands.py` (found by the command line) or `routes.py` (found by the
API), and, where it needs them, `requirements.txt` (installed by `make setup`;
`serve-requirements.txt` in the image that serves as well), `targets.mk` (read by make),
`test_*.py` (run by `make test`) and `README.md`. The spine imports no limb: delete the folder,
and the capability is gone and nothing else.
"""

import importlib
from pathlib import Path
from types import ModuleType


def find(name: str) -> list[ModuleType]:
    """Import the modules of this name that limbs have."""
    found = sorted(Path(__file__).parent.glob(f"*/{name}.py"))
    return [importlib.import_module(f"{__name__}.{path.parent.name}.{name}") for path in found]
