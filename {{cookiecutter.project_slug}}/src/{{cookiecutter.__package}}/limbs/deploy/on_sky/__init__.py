"""Deploying by SkyServe: as many replicas as there are requests for, on a cloud or Kubernetes."""
