"""Dry run: the split that training will make, tried before the schema is drafted."""

from __future__ import annotations

import polars as pl

from coldstart.config._sections import SplitSettings
from coldstart.contract._contract import Contract
from coldstart.data._lags import add_lags, has_history
from coldstart.data._splitting import split
from coldstart.data.profiling._profiles import TableProfile
from coldstart.errors import UserError


def dry_run(found: TableProfile) -> None:
    """Split as training will, and change roles that would stop it."""
    for _ in range(2):
        sources = {one.settings.get("lag_of") for one in found.profiles.values()}
        names = [n for n, one in found.profiles.items() if one.role != "ignore" or n in sources]
        settings = {n: dict(found.profiles[n].settings) for n in names}
        if not any(s.get("role", "feature") in ("feature", "series") for s in settings.values()):
            return
        contract = Contract.model_validate({"columns": settings})
        own = [n for n in names if n not in contract.lags]
        table = pl.DataFrame({n: found.profiles[n].values for n in own})
        if contract.lags:
            table = add_lags(table, contract)
            table = table.filter(has_history(table, contract))
        table = table.drop_nulls(found.target)
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
            times_[0].notes[-1:] = [f"not used for the split: {error}"]
            found.warnings.append(f"{times_[0].name} cannot be used for the split: {error}")
            found.split = "at random; copies of one row stay together"
    else:
        return
    for name in contract.features:
        absent = table[name].is_null().to_numpy()
        if any(absent[part == 0].all() for part in parts):
            count = int((~absent).sum())
            found.profiles[name].leave_out(
                "ignore", f"Only {count:,} of {len(absent):,} rows have a value, too few to split."
            )


def ensure_a_feature(found: TableProfile) -> None:
    """Restore the least bad column if no feature is left."""
    if found.with_role("feature", "series"):
        return
    if any(one.settings.get("calendar") for one in found.with_role("time")):
        return
    for one in found.profiles.values():
        if one.role in ("id", "ignore", "group", "time") and one.distinct > 1:
            one.settings["role"] = "feature"
            one.settings.pop("reason", None)
            one.settings.pop("calendar", None)
            if one.raw.cast(pl.Float64, strict=False).null_count() == one.raw.null_count():
                one.settings = {"type": "number"}
            one.read()
            one.notes.append("kept, since no other feature is left")
            found.warnings.append(f"{one.name} is the only feature left")
            return
    raise UserError(
        f"no feature is left to predict {found.target} from: "
        + "; ".join(f"{n}: {one.settings.get('reason', '')}" for n, one in
                    list(found.profiles.items())[:5] if n != found.target)
    )  # fmt: skip
