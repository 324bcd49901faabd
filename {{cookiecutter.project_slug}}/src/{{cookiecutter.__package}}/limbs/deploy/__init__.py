"""Deploying: the champion's API on a host or a cloud."""
