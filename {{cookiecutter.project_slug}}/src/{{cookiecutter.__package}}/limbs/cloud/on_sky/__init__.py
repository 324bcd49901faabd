"""Machines of any cloud, of Kubernetes or of Slurm, rented by SkyPilot."""
