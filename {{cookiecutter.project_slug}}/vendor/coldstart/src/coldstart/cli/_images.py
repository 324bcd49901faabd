"""The command that builds images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from coldstart.cli._commands import Command


class Image(Command):
    """Build the container image that serves the champion, or the one that trains."""

    alone = True  # the champion must not change while it is copied

    target: Literal["serve", "train"] = "serve"
    base: str | None = Field(None, description="another base image than the Dockerfile's")

    def run(self) -> None:
        """Build it, and list what is in it."""
        from coldstart.images import build_serve, build_train, write_sbom
        from coldstart.images._building import describe_mounts

        image = (build_serve if self.target == "serve" else build_train)(self.base)
        file = Path(f"{self.target}.cdx.json")
        print(f"{file}: its {write_sbom(image, file)} packages (CycloneDX)")
        if self.target == "serve" and (mounts := describe_mounts(image, self.serving)):
            print(mounts)
