"""Rented machines: the same training on another Docker host, or on any cloud."""
