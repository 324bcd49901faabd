"""Deploying to AWS Lambda: an image with a URL of its own, which costs next to nothing unasked."""

KEYS = "API_KEYS"  # variable with what the file of keys holds: hashes, and no key
