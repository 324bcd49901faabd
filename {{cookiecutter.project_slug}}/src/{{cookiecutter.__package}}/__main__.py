"""The project's commands: `make help`."""

import sys

from coldstart import Project
from coldstart.cli import main

PACKAGE = __package__ or ""
PROJECT = Project(
    package=PACKAGE,
    train=f"{PACKAGE}.train:train",
    families=f"{PACKAGE}.models:FAMILIES",
    search_spaces=f"{PACKAGE}.models:SEARCH_SPACES",
    derived=f"{PACKAGE}.features:DERIVED",
    app=f"{PACKAGE}.app:create_app",
)


def run() -> None:
    """Run the command that the command line names, and exit."""
    sys.exit(main(PROJECT, sys.argv[1:]))


if __name__ == "__main__":
    run()
