"""Deployment to AWS Lambda."""
