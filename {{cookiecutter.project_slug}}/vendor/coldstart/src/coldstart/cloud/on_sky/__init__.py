"""Training through SkyPilot."""
