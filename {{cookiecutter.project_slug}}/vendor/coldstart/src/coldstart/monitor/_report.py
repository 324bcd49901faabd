"""The report: one HTML file that needs no network; the verdict first, then what to do."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

from coldstart.monitor._advice import advice
from coldstart.monitor._comparison import Comparison
from coldstart.monitor._drift import BROKEN, SHUFFLES, Finding
from coldstart.monitor._outcomes import FEW, Live
from coldstart.train._summary import SHOWN as METRICS
from coldstart.train._summary import number

REPORT = Path("data/drift.html")
PLOTTED = 40  # columns whose bins are shown
LONGEST = 12  # bins of a column that are shown

STYLE = """
:root { color-scheme: light; --ink: #1c2430; --soft: #5b6675; --line: #d9dfe7; --then: #8b97a6;
  --now: #2f6fb2; --bad: #b3261e; --good: #1f7a4d; --back: #f6f8fa; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; }
main { max-width: 64rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
p { margin: .5rem 0 .75rem; max-width: 50rem; } .soft { color: var(--soft); }
ul { padding-left: 1.2rem; margin: .25rem 0; } li { margin: .3rem 0; max-width: 55rem; }
code, .name { font-family: ui-monospace, monospace; font-size: .9em; overflow-wrap: anywhere; }
.facts { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 1rem 0; }
.facts div { min-width: 6rem; } .facts b { display: block; font-size: 1.3rem; }
.box { border-left: 4px solid var(--good); background: var(--back); padding: .6rem 1rem; }
.box.bad { border-color: var(--bad); } .word { color: var(--bad); }
.wide { overflow-x: auto; border: 1px solid var(--line); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { background: var(--back); white-space: nowrap; } td.name { min-width: 8.5rem; }
.n { text-align: right; } .n, .bar { white-space: nowrap; } small { white-space: nowrap; }
.track { position: relative; display: inline-block; width: 5rem; height: .7rem;
  background: var(--line); vertical-align: middle; }
.track i { position: absolute; inset: 0 auto 0 0; background: var(--now); }
.drifted .track i, .broken .track i { background: var(--bad); }
.track u { position: absolute; inset: -.15rem auto; width: 2px; background: var(--ink); }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); }
.card { border: 1px solid var(--line); padding: .7rem .8rem; min-width: 0; }
.bin { display: grid; grid-template-columns: 8rem 1fr 2.5rem; gap: 0 .5rem; font-size: .8rem;
  align-items: center; margin: .15rem 0; line-height: 1.25; }
.bin span { overflow-wrap: anywhere; } .bin em { font-style: normal; text-align: right; }
.note { font-size: .8rem; color: var(--soft); margin: .4rem 0 0; overflow-wrap: anywhere; }
.bars b { display: block; height: .45rem; background: var(--then); min-width: 1px; }
.bars b + b { background: var(--now); }
.key b { display: inline-block; width: .8rem; height: .6rem; background: var(--then); }
.key b.now { background: var(--now); }
"""


def write_report(found: Comparison) -> None:
    """Write the report."""
    title = f"{'Drift' if found.reasons else 'No drift'}: {found.predictor.contract.target}"
    span = f", {found.first:%Y-%m-%d} to {found.last:%Y-%m-%d}" if found.first else ""
    drifted = sum(one.drifted for one in found.findings)
    facts = {
        "rows": f"{found.rows:,}",
        "model": f"version {found.version}",
        "columns drifted": f"{drifted} of {len(found.findings)}",
        "predictions": "drifted" if found.prediction.drifted else "as in the test",
    }
    if live := found.live:
        metric = METRICS.get(live.primary, live.primary)
        facts[f"{metric} now"] = number(live.metrics[live.primary])
    shown = (f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in facts.items())
    parts = [
        f"<h1>{escape(title)}</h1><p class=soft>{escape(found.name)}{span}</p>",
        f"<div class=facts>{''.join(shown)}</div>",
        verdict(found),
        accuracy(live) if live else "",
        distances(found),
        distributions(found),
        periods(live) if live else "",
        method(found),
    ]
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><main>{''.join(parts)}</main></html>"
    )
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    unfinished = REPORT.with_suffix(".unfinished")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(REPORT)


def items(lines: Iterable[str]) -> str:
    """A list; its lines are HTML."""
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def table(heads: str, rows: list[str]) -> str:
    """A table; its headings and rows are HTML."""
    return f"<div class=wide><table><tr>{heads}</tr>{''.join(rows)}</table></div>"


def bar(share: float, mark: float | None) -> str:
    """A bar from 0 to 1, with a mark."""
    sign = "" if mark is None else f"<u style='left:{100 * min(max(mark, 0), 1):.1f}%'></u>"
    width = 100 * min(max(share, 0), 1)
    return f"<span class=track><i style='width:{width:.1f}%'></i>{sign}</span>"


def verdict(found: Comparison) -> str:
    """Why it is drift or not, and what to do."""
    lines = [escape(reason) for reason in found.reasons]
    said = [*found.said]
    if found.absent:
        said.append(f"not in the rows, so not compared: {', '.join(found.absent)}")
    notes = f"<p class=soft>{'<br>'.join(map(escape, said))}</p>" if said else ""
    nothing = ["Nothing is further from what the model knows than the thresholds and chance allow."]
    return (
        f"<div class='{'box bad' if lines else 'box'}'>{items(lines or nothing)}</div>{notes}"
        f"<h2>What to do</h2>{items(advice(found))}"
    )


def accuracy(live: Live) -> str:
    """How good the answers were, beside the test."""
    rows = []
    for name, value in live.metrics.items():
        now, then = number(value), ""
        if live.tested and name in live.tested:
            then = number(live.tested[name])
        if name == live.primary:
            now += between(live.interval)
        if name == live.primary and live.tested_interval:
            then += between(live.tested_interval)
        title = escape(name.replace("_", " "))
        rows.append(f"<tr><td>{title}<td class=n>{now}<td class=n>{then}</tr>")
    few = f" Fewer than {FEW} are too few to conclude anything." if live.rows < FEW else ""
    return (
        f"<h2>How good the answers were</h2><p>Of the {live.rows:,} whose outcome is known, beside "
        "the test rows. In brackets the interval that holds the score with 95 % confidence."
        f"{few}</p>" + table("<th>metric<th class=n>now<th class=n>test rows", rows)
    )


def between(interval: tuple[float, float]) -> str:
    """An interval, on a line of its own."""
    return f"<br><small>({number(interval[0])} to {number(interval[1])})</small>"


def periods(live: Live) -> str:
    """The primary metric week by week, or month by month."""
    if len(live.periods) < 2:
        return ""
    low = live.tested_interval[0] if live.tested_interval else None
    top = max(1e-9, low or 0, *(value for *_, value in live.periods))
    rows = []
    for name, outcomes, value in live.periods:
        shown = f"{bar(value / top, low and low / top)} {number(value)}"
        shown = shown if outcomes >= FEW else "<span class=soft>too few</span>"
        rows.append(f"<tr><td class=bar>{name}<td class=n>{outcomes:,}<td class=bar>{shown}</tr>")
    metric = escape(live.primary.replace("_", " "))
    return (
        "<h2>How good they were over time</h2><p>The mark is the lower end of the test's "
        f"interval.</p>{table(f'<th>from<th class=n>outcomes<th>{metric}', rows)}"
    )


def distances(found: Comparison) -> str:
    """All columns, the most drifted first."""
    rows = [distance("the predictions", found.prediction, found.threshold)]
    rows += [distance(one.name, one, found.threshold) for one in found.findings]
    heads = "<th>column<th>distance<th class=n>by chance to<th class=n>missing<th>"
    return (
        "<h2>How far from the reference</h2><p>0 is the same, 1 has nothing in common. A column "
        "has drifted where the bar is beyond the mark: above "
        f"{found.threshold:g} and above what chance can bring. From {BROKEN:g} it is hardly the "
        f"same column.</p>{table(heads, rows)}"
    )


def distance(title: str, one: Finding, threshold: float) -> str:
    """A row of the table of distances."""
    then, now = one.missing
    word = "broken" if one.broken else "drifted" if one.drifted else ""
    missing = f"{then:.1%} to {now:.1%}" if then or now else ""
    return (
        f"<tr class='{word}'><td class=name>{escape(title)}"
        f"<td class=bar>{bar(one.score, max(threshold, one.chance))} {one.score:.3f}"
        f"<td class=n>{one.chance:.3f}<td class=n>{missing}<td class=word>{word}</tr>"
    )


def distributions(found: Comparison) -> str:
    """What each column held then and holds now."""
    cards = [card("the predictions", found.prediction)]
    cards += [card(one.name, one) for one in found.findings[:PLOTTED]]
    more = len(found.findings) - PLOTTED
    rest = f"<p class=soft>{more:,} more columns, which lie nearer.</p>" if more > 0 else ""
    return (
        "<h2>Then and now</h2><p class='soft key'><b></b> share of the reference (of the "
        "predictions: of the test rows) &nbsp; <b class=now></b> share of the rows compared</p>"
        f"<div class=cards>{''.join(cards)}</div>{rest}"
    )


def card(title: str, one: Finding) -> str:
    """The bins of a column; of many those that changed most."""
    then, now = (counts / counts.sum() for counts in (one.tally.reference, one.tally.served))
    there = [i for i in range(len(then)) if then[i] or now[i]]
    chosen = sorted(sorted(there, key=lambda i: -abs(now[i] - then[i]))[:LONGEST])
    top = max(max(then[i], now[i]) for i in chosen)
    bins = "".join(
        f"<div class=bin><span>{escape(one.tally.bins.labels[i][:60])}</span><div class=bars>"
        f"<b style='width:{100 * then[i] / top:.1f}%'></b>"
        f"<b style='width:{100 * now[i] / top:.1f}%'></b></div>"
        f"<em>{then[i]:.0%}<br>{now[i]:.0%}</em></div>"
        for i in chosen
    )
    left = len(there) - len(chosen)
    more = f"<p class=note>and {left} that changed less</p>" if left else ""
    more += f"<p class=note>{escape(one.new)}</p>" if one.new else ""
    word = " <span class=word>drifted</span>" if one.drifted else ""
    head = f"<h3><span class=name>{escape(title)}</span>{word}</h3>"
    return f"<div class=card>{head}{bins}{more}</div>"


def method(found: Comparison) -> str:
    """How it is measured."""
    fitted = max((int(one.tally.reference.sum()) for one in found.findings), default=0)
    return (
        "<h2>How it is measured</h2><p>Values are counted in bins: tenths of the reference, labels "
        "(rare and new ones together, as a model takes them), for texts the words they hold, for "
        "days only whether they lie before the reference; missing values are a bin of their own. "
        "The distance is that of Jensen and Shannon. What chance can bring is found by shuffling "
        f"the rows of both samples together {SHUFFLES:,} times; one column in a thousand goes "
        f"beyond it. Columns are held against the {fitted:,} rows of the bundle that the model was "
        "fitted on, predictions against those of its test rows, which it had not seen. Shuffling "
        "takes rows for independent of each other: a thousand rows of one customer are not.</p>"
    )
