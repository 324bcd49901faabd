"""The commands of data."""

from __future__ import annotations

from pydantic import Field

from coldstart.cli._commands import Command


class Data(Command):
    """Bring a source in, find out what its columns are, and draft the contract."""

    alone = True

    source: str | None = Field(
        None, description="file, folder, address, ...; if left out, the table in config.yaml"
    )
    target: str | None = Field(None, description="the column to predict")
    query: str | None = Field(None, description="SQL, for a database")
    license: str | None = Field(None, description="under which the data may be used")
    fresh: bool = Field(False, description="draft anew what the contract has already")

    def run(self) -> None:
        """Do it."""
        from coldstart.data.profiling._drafting import draft

        draft(self, self.source, self.target, self.query, self.license, self.fresh)


class Collect(Command):
    """Bring in what is new at the recorded sources; schema.yaml stays as it is."""

    alone = True

    source: str | None = Field(None, description="one of them, or a new one; all if left out")
    query: str | None = Field(None, description="SQL, for a database")
    license: str | None = Field(None, description="under which the data may be used")
    append: bool | None = Field(None, description="add to what came before, or take its place")

    def run(self) -> None:
        """Do it."""
        from coldstart.data.sources._collect import collect

        collect(self.source, self.query, self.license, self.append)
