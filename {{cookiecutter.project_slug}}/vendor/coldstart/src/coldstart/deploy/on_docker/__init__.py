"""Deployment to a Docker host."""
