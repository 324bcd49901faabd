"""Monitoring: from the rows that were served to a verdict."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from coldstart._writing import write_whole
from coldstart.bundle._bundle import current_bundle
from coldstart.bundle._predictor import BundlePredictor
from coldstart.errors import UserError
from coldstart.monitor._comparison import Comparison, compare
from coldstart.monitor._logged_rows import LoggedRows
from coldstart.monitor._outcomes import Outcomes
from coldstart.monitor._report import REPORT, write_report
from coldstart.monitor._rows import FileRows, PartRows, Rows
from coldstart.serve._prediction_log import DRIFT
from coldstart.train._summary import number

if TYPE_CHECKING:
    from coldstart.monitor._request import MonitorRequest

SHOWN = 15  # columns, in the terminal


def monitor(request: MonitorRequest) -> int:
    """Compare rows with the model's reference rows, print the findings, and write the report.

    Parameters
    ----------
    request : MonitorRequest
        Which rows, and from which distance they have drifted.

    Returns
    -------
    int
        Exit code: 1 for drift.

    Raises
    ------
    UserError
        If settings contradict each other, or there is nothing to compare.
    """
    predictor = BundlePredictor(choose_bundle(request))
    rows = choose_rows(request, predictor)
    outcomes = None
    if request.outcomes:
        outcomes = Outcomes.read(request.outcomes, predictor.contract)
    found = compare(predictor, rows, outcomes, request.threshold, request.share)
    print(*summary(found), sep="\n")
    write_report(found)
    print(f"report: {REPORT}")
    if isinstance(rows, LoggedRows) and request.role == "champion":
        write_result(found, rows.folder / DRIFT)
    return 1 if found.reasons else 0


def choose_bundle(request: MonitorRequest) -> Path:
    """Return the bundle whose predictions are compared."""
    if request.bundle:
        return request.bundle
    return current_bundle() if request.role == "champion" else Path("bundles/challenger")


def choose_rows(request: MonitorRequest, predictor: BundlePredictor) -> Rows:
    """Return the rows to compare.

    Raises
    ------
    UserError
        If settings contradict each other.
    """
    since, until = naive(request.since), naive(request.until)
    if request.days:
        if since or until:
            raise UserError("set days, or since and until, but not both")
        since = naive(dt.datetime.now(dt.UTC) - dt.timedelta(days=request.days))
    if not (request.file or request.part):
        folder = request.record or request.serving.record.folder or Path("served")
        return LoggedRows(folder, predictor, request.role, since, until)
    if request.file and request.part:
        raise UserError("set file or part, but not both")
    if since or until or request.outcomes or request.record or request.role != "champion":
        raise UserError(
            "days, since, until, outcomes, record and role are settings of the prediction log: a "
            "file or a part is compared as a whole, and its target column holds the outcomes"
        )
    if request.file:
        return FileRows(request.file, predictor)
    return PartRows(str(request.part), predictor)


def naive(time: dt.datetime | None) -> dt.datetime | None:
    """Return a time in UTC without its zone, as tables have it."""
    return time and (time.astimezone(dt.UTC) if time.tzinfo else time).replace(tzinfo=None)


def summary(found: Comparison) -> list[str]:
    """Return lines for the terminal: what was compared, the columns, the verdict."""
    span = f", {found.first:%Y-%m-%d} to {found.last:%Y-%m-%d}" if found.first else ""
    lines = [f"{found.name}: {found.rows:,} rows{span}; version {found.version}", *found.notes, ""]
    cells = [["", "distance", "chance, up to", "missing", ""]]
    for one in [found.prediction, *found.findings[:SHOWN]]:
        then, now = one.missing
        verdict = "broken" if one.broken else "drifted" if one.drifted else ""
        missing = f"{then:.0%} to {now:.0%}" if then or now else ""
        title = "predictions" if one is found.prediction else one.name
        cells.append([title[:30], f"{one.score:.3f}", f"{one.chance:.3f}", missing, verdict])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:4], widths[1:4], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *numbers, row[4]]).rstrip())
    if (more := len(found.findings) - SHOWN) > 0:
        lines.append(f"... and {more} more columns, with smaller distances")
    if found.absent:
        lines.append(f"not in the rows, so not compared: {', '.join(found.absent)}")
    lines.append("")
    if live := found.live:
        low, high = live.interval
        tested = ""
        if live.tested and live.tested_interval:
            then_low, then_high = live.tested_interval
            tested = (
                f"; on the test set {number(live.tested[live.primary])} "
                f"(95% CI {number(then_low)} to {number(then_high)})"
            )
        units = f" ({live.units})" if live.units else ""
        lines.append(
            f"{live.primary} on {live.rows:,} known outcomes{units}: "
            f"{number(live.metrics[live.primary])} (95% CI {number(low)} to {number(high)}){tested}"
        )
        lines += live.explain_coverage() + live.explain_prevalence()
    verdict = "drift: " + "; ".join(found.reasons) if found.reasons else "no drift"
    return [*lines, verdict]


def write_result(found: Comparison, path: Path) -> None:
    """Write the verdict beside the prediction log, where the API reads it; whole or not at all.

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
    if found.live and found.live.coverage:
        content["coverage"] = asdict(found.live.coverage)
    try:
        write_whole(path, json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
