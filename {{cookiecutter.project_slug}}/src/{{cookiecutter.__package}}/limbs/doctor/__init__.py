"""The preflight: what would stop this project here, and what mends it."""
