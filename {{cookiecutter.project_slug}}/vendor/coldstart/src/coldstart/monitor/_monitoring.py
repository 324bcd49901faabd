"""Monitoring: from the rows that were served to a verdict. The whole way, top to bottom."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

from coldstart.bundle._bundle import current_bundle
from coldstart.bundle._predictor import BundlePredictor
from coldstart.errors import UserError
from coldstart.monitor._comparison import Comparison, compare
from coldstart.monitor._logged_rows import Recorded
from coldstart.monitor._outcomes import Outcomes
from coldstart.monitor._report import REPORT, write_report
from coldstart.monitor._rows import FileRows, PartRows, Rows
from coldstart.serve._prediction_log import DRIFT
from coldstart.train._summary import number

if TYPE_CHECKING:
    from coldstart.monitor._request import MonitorRequest

SHOWN = 15  # columns, in the terminal


def monitor(command: MonitorRequest) -> int:
    """Compare, tell and write what was found; return the exit code: 1 for drift.

    Raises
    ------
    UserError
        If something the person gave is wrong, or there is nothing to compare.
    """
    predictor = BundlePredictor(chosen_bundle(command))
    rows = chosen_rows(command, predictor)
    outcomes = None
    if command.outcomes:
        outcomes = Outcomes.read(command.outcomes, predictor.contract)
    found = compare(predictor, rows, outcomes, command.threshold, command.share)
    print(*table(found), sep="\n")
    write_report(found)
    print(f"report: {REPORT}")
    if isinstance(rows, Recorded) and command.role == "champion":
        write_result(found, rows.folder / DRIFT)
    return 1 if found.reasons else 0


def chosen_bundle(command: MonitorRequest) -> Path:
    """The bundle whose answers are looked at."""
    if command.bundle:
        return command.bundle
    return current_bundle() if command.role == "champion" else Path("bundles/challenger")


def chosen_rows(command: MonitorRequest, predictor: BundlePredictor) -> Rows:
    """The rows that are asked about.

    Raises
    ------
    UserError
        If settings contradict each other.
    """
    since, until = naive(command.since), naive(command.until)
    if command.days:
        if since or until:
            raise UserError("give the last days, or since and until, and not both")
        since = naive(dt.datetime.now(dt.UTC) - dt.timedelta(days=command.days))
    if not (command.file or command.part):
        folder = command.record or command.serving.record.folder or Path("served")
        return Recorded(folder, predictor, command.role, since, until)
    if command.file and command.part:
        raise UserError("give a file or a part, and not both")
    if since or until or command.outcomes or command.record or command.role != "champion":
        raise UserError(
            "days, since, until, outcomes, record and role are of the record: a file or a part is "
            "compared whole, and its own target column holds the outcomes"
        )
    return FileRows(command.file, predictor) if command.file else PartRows(str(command.part), predictor)


def naive(time: dt.datetime | None) -> dt.datetime | None:
    """A time in UTC, without saying so, as tables have it."""
    return time and (time.astimezone(dt.UTC) if time.tzinfo else time).replace(tzinfo=None)


def table(found: Comparison) -> list[str]:
    """Lines for the terminal: what was compared, the columns, the verdict."""
    span = f", {found.first:%Y-%m-%d} to {found.last:%Y-%m-%d}" if found.first else ""
    lines = [f"{found.name}: {found.rows:,} rows{span}; version {found.version}", *found.said, ""]
    cells = [["", "distance", "by chance to", "missing", ""]]
    for one in [found.prediction, *found.findings[:SHOWN]]:
        then, now = one.missing
        verdict = "broken" if one.broken else "drifted" if one.drifted else ""
        missing = f"{then:.0%} to {now:.0%}" if then or now else ""
        title = "the predictions" if one is found.prediction else one.name
        cells.append([title[:30], f"{one.score:.3f}", f"{one.chance:.3f}", missing, verdict])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:4], widths[1:4], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *numbers, row[4]]).rstrip())
    if (more := len(found.findings) - SHOWN) > 0:
        lines.append(f"... and {more} more columns, which lie nearer")
    if found.absent:
        lines.append(f"not in the rows, so not compared: {', '.join(found.absent)}")
    lines.append("")
    if live := found.live:
        low, high = live.interval
        tested = ""
        if live.tested and live.tested_interval:
            then_low, then_high = live.tested_interval
            tested = (
                f"; of the test rows {number(live.tested[live.primary])}, "
                f"{number(then_low)} to {number(then_high)}"
            )
        lines.append(
            f"{live.primary} of the {live.rows:,} answers whose outcome is known: "
            f"{number(live.metrics[live.primary])}, {number(low)} to {number(high)}{tested}"
        )
    verdict = "drift: " + "; ".join(found.reasons) if found.reasons else "no drift"
    return [*lines, verdict]


def write_result(found: Comparison, path: Path) -> None:
    """Keep the verdict beside the record, where the API finds it; whole or not at all.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    content = {
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "version": found.version,
        "rows": found.rows,
        "drifted": bool(found.reasons),
        "columns": {one.name: round(one.score, 4) for one in found.findings},
        "prediction": round(found.prediction.score, 4),
    }
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
