"""The report."""

from __future__ import annotations

from pathlib import Path

from ...reading import RawTable
from .study import Study

REPORT = Path("data/report.html")


def write_report(found: Study, raw: RawTable) -> None:
    """Write it."""
    REPORT.write_text("<!doctype html>", encoding="utf-8")
