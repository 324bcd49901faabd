"""Training on rented machines: SkyPilot, on a provider of the testbed's own."""
