"""Images: the project in containers."""
