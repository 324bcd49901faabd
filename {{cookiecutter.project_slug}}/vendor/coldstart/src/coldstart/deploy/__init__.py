"""Deploying the API."""
