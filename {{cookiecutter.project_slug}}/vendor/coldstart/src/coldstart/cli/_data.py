"""The commands of data."""

from __future__ import annotations

from pydantic import Field

from coldstart.cli._commands import Command


class Data(Command):
    """Import a source, profile its columns, and draft schema.yaml."""

    alone = True

    source: str | None = Field(
        None, description="file, folder, address, ...; default: the table in config.yaml"
    )
    target: str | None = Field(None, description="the column to predict")
    query: str | None = Field(None, description="SQL, for a database")
    license: str | None = Field(None, description="under which the data may be used")
    fresh: bool = Field(False, description="draft anew the columns that schema.yaml has")
    share: bool | None = Field(None, description="whether git keeps the table")
    known: str | None = Field(None, description="columns that are known when you ask")
    after: str | None = Field(None, description="columns that are known only afterwards")
    horizon: int | None = Field(None, gt=0, description="number of steps to forecast")
    demo: bool = Field(False, description="restore the demo's data, schema and tests")

    def run(self) -> None:
        from coldstart.data.profiling._drafting import draft, restore

        if self.demo:
            restore(self)
            return
        draft(
            self,
            self.source,
            self.target,
            query=self.query,
            license=self.license,
            fresh=self.fresh,
            share=self.share,
            known=self.known,
            after=self.after,
            horizon=self.horizon,
        )


class Collect(Command):
    """Import what is new at the sources; schema.yaml stays as it is."""

    alone = True

    source: str | None = Field(None, description="one of them, or a new one; default: all")
    query: str | None = Field(None, description="SQL, for a database")
    license: str | None = Field(None, description="under which the data may be used")
    append: bool | None = Field(None, description="add to earlier imports, or replace them")

    def run(self) -> None:
        from coldstart.data.sources._collect import collect

        collect(self.source, self.query, self.license, self.append)
