"""Tests of the engine, in place: nothing is generated for them."""

import os

# Before anything loads OpenMP: threads that spin while they wait halve a busy machine's speed.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from engine import support  # noqa: F401 (makes the template's source importable)
