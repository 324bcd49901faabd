"""SkyPilot: rents machines of any cloud for `make train ON=...` and `make deploy ON=sky`."""
