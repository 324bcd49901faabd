"""Deploying to a Docker host."""

from coldstart.deploy.on_docker._target import DeployTarget

__all__ = ["DeployTarget"]
