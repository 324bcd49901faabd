"""The project and the object store of the limb that rents machines."""

from ..cloud.conftest import bucket, project, store, wait

__all__ = ["bucket", "project", "store", "wait"]
