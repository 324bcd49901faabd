"""Deploying to AWS Lambda."""

from coldstart.deploy.on_aws._target import DeployTarget

__all__ = ["DeployTarget"]
