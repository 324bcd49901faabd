"""Container images: of the API with a model in it, and of the training environment.

The names below are imported when they are first used, so that commands start without Docker's SDK.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coldstart.images._building import build_serve, build_train
    from coldstart.images._sbom import write_sbom

__all__ = ["build_serve", "build_train", "write_sbom"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "_sbom" if name == "write_sbom" else "_building"
    return getattr(import_module(f"{__name__}.{module}"), name)
