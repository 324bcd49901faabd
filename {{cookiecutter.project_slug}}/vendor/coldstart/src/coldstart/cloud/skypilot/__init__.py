"""SkyPilot, in an environment of its own."""
