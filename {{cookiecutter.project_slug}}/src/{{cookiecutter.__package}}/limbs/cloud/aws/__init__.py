"""What stands beside SkyPilot on AWS: the account, the sweep, and the preflight."""
