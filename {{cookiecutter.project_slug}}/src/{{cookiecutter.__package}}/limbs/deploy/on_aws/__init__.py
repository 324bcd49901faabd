"""Deploying to AWS Lambda: an image with a URL of its own, which costs next to nothing unasked."""
