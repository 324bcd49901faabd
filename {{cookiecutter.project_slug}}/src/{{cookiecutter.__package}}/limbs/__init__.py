"""Limbs: one folder for each capability beyond the way of the data.

A limb is a package with `commands.py` (found by the command line), and, where it
needs them, `requirements.txt` (installed by `make setup`), `targets.mk` (read by
make), `test_*.py` (run by `make test`) and `README.md`. The spine imports no limb:
delete the folder, and the capability is gone and nothing else.
"""
