"""The commands that deploy the API and publish a model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from coldstart.cli._commands import Command
from coldstart.errors import UserError

ACTIONS = ("status", "rollback", "fetch", "down")


class Deploy(Command):
    """Deploy the champion's API to a host or a cloud, or manage what is deployed."""

    alone = True  # the champion must not change while it is copied

    on: str = Field("docker", description="docker, aws or space")
    host: str | None = Field(None, description="address of the Docker host")
    port: int | None = Field(None, description="of the API there")
    tls: str | None = Field(None, description="name of the Docker host, for HTTPS")
    proxy: bool = Field(False, description="HTTPS ends before the Docker host")
    status: bool = Field(False, description="print what is deployed")
    rollback: bool = Field(False, description="serve the version before this one again")
    fetch: bool = Field(False, description="download the prediction log")
    down: bool = Field(False, description="remove the deployment")
    dry_run: bool = Field(False, description="print what would be done, and what it costs")
    repo: str | None = Field(None, description="the Space, USER/NAME")
    public: bool = Field(False, description="let everybody read the Space, or use ON=aws keyless")

    def run(self) -> None:
        """Do what is requested: by default, deploy."""
        from coldstart.deploy import DeployRequest, find_target

        requested = [name for name in (*ACTIONS, "dry_run") if getattr(self, name)]
        if len(requested) > 1:
            raise UserError(f"one action at a time: {' or '.join(requested)}".replace("_", "-"))
        if self.on in ("docker", "aws") and self.repo:
            raise UserError(f"ON={self.on} takes no REPO: it is for ON=space")
        if self.on == "docker" and self.public:
            raise UserError("ON=docker takes no PUBLIC: infra/deploy/docker.yaml has its address")
        if self.on != "docker" and (self.tls or self.proxy):
            raise UserError(f"ON={self.on} takes no TLS and no PROXY: it has HTTPS already")
        request = DeployRequest(
            self, self.host, self.port, self.dry_run, self.repo, self.public, self.tls, self.proxy
        )
        action = requested[0] if requested and not self.dry_run else "deploy"
        getattr(find_target(self.on, request), action)()


class Push(Command):
    """Publish a model and its card at the Hugging Face Hub."""

    alone = True  # the champion must not change while it is copied

    on: Literal["hf"] = Field("hf", description="hf, the Hugging Face Hub")
    repo: str | None = Field(None, description="USER/NAME; by default yours, of the project's name")
    ref: str | None = Field(None, description="champion, challenger, or a version's number")
    version: str | None = Field(None, description="the same; by default the champion")
    public: bool = Field(False, description="let everybody read it")
    dry_run: bool = Field(False, description="print what would be published, and where")

    def run(self) -> None:
        """Publish it."""
        if self.ref and self.version and self.ref != self.version:
            raise UserError(
                f"REF={self.ref} and VERSION={self.version} are two models: give one of them"
            )
        from coldstart.deploy.on_hub._model import push_model

        ref = self.ref or self.version or "champion"
        push_model(self, self.repo, ref, self.public, self.dry_run)
