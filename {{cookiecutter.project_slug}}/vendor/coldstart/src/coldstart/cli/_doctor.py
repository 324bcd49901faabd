"""The commands that check this project, and renew what it installs."""

from __future__ import annotations

from pydantic import Field

from coldstart.cli._commands import Command


class Doctor(Command):
    """Check what would stop this project here or on a provider, and print what fixes it."""

    on: str | None = Field(None, description="to check as well: aws, docker or ssh://me@host")
    gpu: str | None = Field(None, description="GPUs of one machine there, such as L4:1, or none")
    spot: bool | None = Field(None, description="whether spot machines are wanted there")
    nodes: int = Field(1, gt=0, description="machines there")

    def run(self) -> int:
        """Run the checks, and return 1 if something must be fixed."""
        from coldstart.cloud import LaunchRequest
        from coldstart.doctor import run_doctor

        if not self.on:
            return run_doctor(self)
        request = LaunchRequest(self, self.on, gpu=self.gpu, spot=self.spot, nodes=self.nodes)
        return run_doctor(self, request)


class Pins(Command):
    """Update the versions in constraints.txt, with the hashes of their files."""

    now: str = Field(
        "", description="packages taken however new they are, as for a fix: torch,idna"
    )

    def run(self) -> None:
        """Find them."""
        from coldstart.doctor import update_pins

        update_pins([name.strip() for name in self.now.split(",") if name.strip()])


class Audit(Command):
    """Search files for secrets, and the pinned packages for known vulnerabilities."""

    def run(self) -> int:
        """Run both, and return 1 if something was found."""
        from coldstart.doctor import run_audit

        return run_audit()
