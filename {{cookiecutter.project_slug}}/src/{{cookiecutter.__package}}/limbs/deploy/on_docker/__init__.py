"""Deploying to a Docker host: the new version is tried beside the old one, then they switch."""
