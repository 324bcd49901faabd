"""Training on machines that SkyPilot rents. SkyPilot has an environment of its own."""
