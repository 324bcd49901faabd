"""Features that may be known only after the target: what a person is asked about.

A leak is left out on evidence. These stay, since there is none: a name, a time, or how much of the
score rests on them makes them doubtful.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from sklearn.linear_model import Ridge
from sklearn.model_selection import BaseCrossValidator, PredefinedSplit, cross_val_predict
from sklearn.preprocessing import scale

from coldstart.data.profiling._evidence import AFTER, LeakContext, score_gaps
from coldstart.data.profiling._profiles import ColumnProfile, words
from coldstart.data.profiling._scores import FOLDS, HUGE, ForestData
from coldstart.data.profiling._spellings import vocabulary

# Ends, outcomes and payments: English, German, French, Spanish, Italian, Portuguese, Dutch.
CLEARLY = AFTER | vocabulary(
    "paid payment payments settled actual realized realised eventual ending delivered "
    "ergebnis endete beendet abschluss abgeschlossen bezahlt zahlung schluss danach "
    "resultat fin finale paye payee paiement reglement apres cloture "
    "resultado pagado pagada pago cierre terminado despues "
    "esito risultato fine pagato pagamento chiusura dopo depois encerramento "
    "uitkomst einde betaald betaling afgesloten afgerond daarna"
)
POSSIBLY = vocabulary(
    "total totals sum cumulative overall amount cost costs charge charges fee fees duration "
    "elapsed gesamt summe betrag kosten dauer montant cout duree importe coste duracion totale "
    "importo costo durata valor custo duracao totaal bedrag duur"
)
COMPOUND = ("geld", "betrag", "kosten", "zahlung", "gebühr", "dauer", "bedrag", "betaling")
KNOWN = vocabulary(
    "last previous prev prior past old initial start first baseline lag before planned expected "
    "estimated scheduled budget quoted requested method type"
)
CALENDAR = vocabulary("year month day week hour quarter date time index id number no age")
LEAST, LEAST_POSSIBLY = 0.1, 0.2  # strength of a column alone whose name is doubted
LATER = 0.98  # share of rows in which a date is later
BY_MISSING, BY_MISSING_VALUE = 0.3, 0.15  # strength of whether there is a value
RISING = 0.995  # share of steps in which an accumulating column does not fall
SOME = 0.75  # strength of all together, from which a column is doubted that it rests on
LEFT, ALONE = 0.75, 0.75  # shares of it: without that column, at most, and by it alone, at least
REST, TIMES = 0.03, 5  # share of the variance left by a line, and how often it is without a column
ROWS = 2_000  # that forests are fitted on
WIDEST = 100  # columns that are looked at, the strongest


def find_doubtful(
    context: LeakContext,
    strength: dict[str, float],
    time: ColumnProfile | None = None,
) -> dict[str, str]:
    """Return the features that may be known only after the target, and why.

    Parameters
    ----------
    context : LeakContext
        The rows and the target.
    strength : dict of str to float
        For each feature that is no leak, how well it predicts the target alone, from 0 to 1.
    time : ColumnProfile, optional
        The column with the role time.

    Returns
    -------
    dict of str to str
        From a name to the reason.
    """
    if context.rows < 50 or not strength:
        return {}
    why: dict[str, str] = {}
    order = sorted(strength, key=lambda name: -strength[name])
    strongest = {name: strength[name] for name in order[:WIDEST]}
    why |= by_share(context, strongest) | by_line(context, strongest)
    dates = [one for one in context.profiles.values() if one.type == "date"]
    for name in order:
        reasons = [by_name(name, strength[name]), by_gaps(context, name)]
        reasons += [by_time(context.profiles[name], date) for date in ([time] if time else dates)]
        if told := [reason for reason in reasons if reason]:
            why.setdefault(name, told[0])
    return why


def by_name(name: str, strength: float) -> str:
    """Return why the name of a column is doubtful, if the column tells something."""
    terms = set(words(name))
    if terms & KNOWN:
        return ""
    found = sorted(terms & CLEARLY) if strength >= LEAST else []
    if strength >= LEAST_POSSIBLY:
        found += sorted(term for term in terms if term in POSSIBLY or term.endswith(COMPOUND))
    return f"its name ({found[0]}) suggests that it is known afterwards" if found else ""


def by_gaps(context: LeakContext, name: str) -> str:
    """Return what it tells whether there is a value, if that is much."""
    absent = context.columns[name].null_count()
    if min(absent, context.rows - absent) < 10:
        return ""
    target, score = context.target, score_gaps(context, name)
    if target.strength(score) < (BY_MISSING if target.classifies else BY_MISSING_VALUE):
        return ""
    return f"whether it is filled in reaches {target.metric} {score:.3f} alone"


def by_time(profile: ColumnProfile, time: ColumnProfile) -> str:
    """Return why a column follows the time of its row, as a later date or a running total."""
    at = time.values.cast(pl.Datetime("us"))
    if profile.type == "date" and profile is not time:
        later = profile.values.cast(pl.Datetime("us")) - at
        after = int((later.dt.total_seconds() > 0).sum())
        if after >= LATER * profile.known and profile.known > 20:
            return f"it is later than {time.name}"
        return ""
    if profile.type != "number" or set(words(profile.name)) & CALENDAR or profile.distinct < 20:
        return ""
    ordered = pl.DataFrame({"at": at, "value": profile.values}).drop_nulls().sort("at")
    steps = np.diff(ordered["value"].to_numpy())
    rising = len(steps) > 20 and np.mean(steps >= 0) >= RISING and np.ptp(steps) > 0
    return "it accumulates over time" if rising else ""


def by_share(context: LeakContext, strength: dict[str, float]) -> dict[str, str]:
    """Return the column that the score rests on, if one is as good as nearly all together."""
    target = context.target
    pairs = [(context.profiles[name], context.columns[name]) for name in strength]
    if len(pairs) < 2:
        return {}
    data = ForestData.of(pairs, target, ROWS)
    score, importance = data.score()
    place = int(importance.argmax())
    name = list(strength)[place]
    if target.strength(score) < SOME or strength[name] < ALONE * target.strength(score):
        return {}
    rest, _ = data.without([place]).score()
    if target.strength(rest) > LEFT * target.strength(score):
        return {}
    return {name: f"the score rests on it: {target.metric} {rest:.3f} without, {score:.3f} with it"}


def by_line(context: LeakContext, strength: dict[str, float]) -> dict[str, str]:
    """Return the numbers that add or multiply up to the target, but for a small rest.

    One of two classes counts as 1, the other as 0.
    """
    names = [name for name in strength if context.profiles[name].type == "number"]
    if len(names) < 2 or context.target.shown.shape[1] > 1:
        return {}
    columns = [context.columns[name].cast(pl.Float64) for name in names]
    table = np.stack([one.fill_null(one.median()).to_numpy() for one in columns], axis=1)
    table, y = table.clip(-HUGE, HUGE), context.target.shown[:, 0]
    fold = context.target.folds(FOLDS)
    if len(np.unique(fold)) < 2:  # a single group
        return {}
    tables = [(table, y)]
    positive = (table > 0).all(axis=0)
    if y.min() > 0 and positive.sum() > 1:
        tables.append((np.where(positive, np.log(np.where(positive, table, 1.0)), 0.0), np.log(y)))
    folds = PredefinedSplit(fold)
    for quantities, wanted in tables:
        x = scale(quantities)
        rest = unexplained(x, wanted, folds)
        if rest > REST:
            continue
        without = [unexplained(np.delete(x, i, 1), wanted, folds) for i in range(len(names))]
        needed = [name for name, more in zip(names, without, strict=True) if more > TIMES * rest]
        if len(needed) > 1:
            some = f"{', '.join(needed[:-1])} and {needed[-1]}"
            return dict.fromkeys(needed, f"{some} determine it together (R² {1 - rest:.3f})")
    return {}


def unexplained(x: np.ndarray, y: np.ndarray, folds: BaseCrossValidator) -> float:
    """Return the share of the variance that a line leaves, out of fold."""
    predicted = cross_val_predict(Ridge(1e-3), x, y, cv=folds)
    return float(np.mean((y - predicted) ** 2) / max(np.var(y), 1e-300))
