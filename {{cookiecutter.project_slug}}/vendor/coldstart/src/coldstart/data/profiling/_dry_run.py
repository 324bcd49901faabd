"""Rehearsal: the split that training will make, tried before the contract is drafted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from coldstart.config._settings import SplitSettings
from coldstart.contract._contract import Contract
from coldstart.data._lags import add_lags, has_history
from coldstart.data._splitting import split
from coldstart.errors import UserError

if TYPE_CHECKING:
    from coldstart.data.profiling._table_profile import TableProfile


def smoke_test(found: TableProfile) -> None:
    """Split as training will, and mend what would stop it."""
    aim = found.looks[found.target]
    for _ in range(2):
        sources = {one.settings.get("lag_of") for one in found.looks.values()}
        names = [n for n, one in found.looks.items() if one.role != "ignore" or n in sources]
        settings = {n: dict(found.looks[n].settings) for n in names}
        if not any(s.get("role", "feature") in ("feature", "series") for s in settings.values()):
            return
        contract = Contract.model_validate({"columns": settings})
        own = [n for n in names if n not in contract.lags]
        table = pl.DataFrame({n: found.looks[n].values for n in own})
        table = table.filter(aim.values.is_not_null())
        if contract.lags:
            table = add_lags(table, contract)
            table = table.filter(has_history(table, contract))
        try:
            parts = split(table, contract, SplitSettings(), 0)
            break
        except UserError as error:
            times_ = found.with_role("time")
            if not times_ or contract.lags:
                if len(table) < 10:
                    raise
                return
            times_[0].settings.pop("calendar", None)
            times_[0].settings.pop("nullable", None)
            times_[0].settings["role"] = "feature"
            times_[0].notes[-1:] = [f"no split by it: {error}"]
            found.doubts.append(f"{times_[0].name} cannot decide the split: {error}")
            found.split = "at random; copies of one row stay together"
    else:
        return
    for name in contract.features:
        absent = table[name].is_null().to_numpy()
        if any(absent[part == 0].all() for part in parts):
            count = int((~absent).sum())
            found.looks[name].leave_out(
                "ignore", f"Only {count:,} of {len(absent):,} rows have a value, too few to split."
            )


def something_to_learn(found: TableProfile) -> None:
    """Bring the least bad column back if none is left."""
    if found.with_role("feature", "series"):
        return
    if any(one.settings.get("calendar") for one in found.with_role("time")):
        return
    for one in found.looks.values():
        if one.role in ("id", "ignore", "group", "time") and one.distinct > 1:
            one.settings["role"] = "feature"
            one.settings.pop("reason", None)
            one.settings.pop("calendar", None)
            if one.raw.cast(pl.Float64, strict=False).null_count() == one.raw.null_count():
                one.settings = {"type": "number"}
            one.read()
            one.notes.append("kept, since nothing else is left to learn from")
            found.doubts.append(f"{one.name} is all that is left to learn from")
            return
    raise UserError(
        f"no column is left to learn {found.target} from: "
        + "; ".join(f"{n}: {one.settings.get('reason', '')}" for n, one in
                    list(found.looks.items())[:5] if n != found.target)
    )  # fmt: skip
