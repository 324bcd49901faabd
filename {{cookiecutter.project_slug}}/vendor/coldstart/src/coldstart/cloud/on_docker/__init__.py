"""Training in a container on a Docker host."""
