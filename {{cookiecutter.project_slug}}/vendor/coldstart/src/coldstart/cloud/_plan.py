"""The plan of a job: what it runs on, the most that it can cost, and the confirmation."""

from __future__ import annotations

import math
import sys
import textwrap
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from coldstart.errors import UserError

WIDTH = 80  # of a terminal
SHOWN = 5  # offers


class Offer(NamedTuple):
    """A type of machine and its price.

    Parameters
    ----------
    machine : str
        Provider and type of the machine.
    price : float or None
        Price at present, in US dollars an hour. None if it is unknown.
    highest : float, optional
        The most that the machine may cost, in US dollars an hour: the price on demand of a spot
        machine, where it is most expensive. By default the price.
    """

    machine: str
    price: float | None
    highest: float | None = None

    @property
    def limit(self) -> float | None:
        """The most that the machine may cost, in US dollars an hour."""
        return self.price if self.highest is None else self.highest


class Charge(NamedTuple):
    """What each machine of a job costs besides its own price.

    Parameters
    ----------
    name : str
        What is charged, such as ``disk``.
    price : float
        US dollars an hour, at most.
    source : str
        Where the price comes from.
    """

    name: str
    price: float
    source: str


@dataclass(frozen=True)
class Plan:
    """The machines, the limits and the price of a job.

    Parameters
    ----------
    offer : Offer
        The machine that the job gets if one is available.
    nodes : int
        Number of machines.
    hours : float
        Hours after which the job is stopped.
    software : str
        Where the training environment comes from.
    alternatives : list of Offer, default=[]
        All other machines that the job may get instead, the cheapest first.
    charges : list of Charge, default=[]
        What each machine costs besides its own price.
    ending : dict, default={}
        Minutes for which machines may exist after the job was stopped, by what they are for.
    notes : list of str, default=[]
        What to know about the plan.
    warning : str, default=""
        What to know before the job starts.
    needs_confirmation : bool, default=True
        Whether the job costs money.
    """

    offer: Offer
    nodes: int
    hours: float
    software: str
    alternatives: list[Offer] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    ending: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warning: str = ""
    needs_confirmation: bool = True

    @property
    def offers(self) -> list[Offer]:
        """All machines that the job may get, the cheapest first."""
        return [self.offer, *self.alternatives]

    @property
    def costliest(self) -> Offer | None:
        """The machine that may cost most, or None if a price is unknown."""
        if any(offer.limit is None for offer in self.offers):
            return None
        return max(self.offers, key=lambda offer: offer.limit or 0)

    @property
    def parts(self) -> list[tuple[float, str]]:
        """What the job may cost at most, in parts: US dollars, rounded up to cents, and for what.

        A machine is counted for each second until the last one has ended. Seconds in which a lost
        machine is not replaced yet are counted, too: they are more than what its replacement
        can cost twice. Empty without a price.
        """
        if (costliest := self.costliest) is None or costliest.limit is None:
            return []
        rows = [("machine", costliest.limit, f"{costliest.machine}, at its highest price")]
        rows += [(one.name, one.price, one.source) for one in self.charges]
        count = f"{self.nodes} x " if self.nodes > 1 else ""
        parts = [
            (
                round_up(self.nodes * price * self.hours),
                f"{name}: {count}{price:.4f} an hour x {self.hours:g} h; {source}",
            )
            for name, price, source in rows
        ]
        if minutes := sum(self.ending.values()):
            spent = ", ".join(f"{what} {part:g}" for what, part in self.ending.items())
            together = self.nodes * sum(price for _, price, _ in rows)
            end = f"end: {minutes:g} min of all these after the stop ({spent})"
            parts.append((round_up(together * minutes / 60), end))
        return parts

    @property
    def max_cost(self) -> float | None:
        """The most that the job can cost in US dollars, or None without a price."""
        return round(sum(cost for cost, _ in self.parts), 2) if self.parts else None


def round_up(dollars: float) -> float:
    """Return dollars, rounded up to cents."""
    return math.ceil(round(dollars * 100, 6)) / 100


def format_plan(plan: Plan) -> str:
    """Return a plan as lines of text."""
    count = f"{plan.nodes} x " if plan.nodes > 1 else ""
    price = plan.offer.price
    hourly = "no price is known" if price is None else f"{price:.4f} USD an hour"
    lines = [
        format_line("machine", f"{count}{plan.offer.machine}: {hourly}"),
        format_line("software", plan.software),
        format_line("hard stop", f"after {plan.hours:g} h"),
    ]
    if plan.alternatives:
        lines[1:1] = format_offers(plan)
    if plan.max_cost is not None and len(plan.parts) == 1:
        price = plan.costliest.limit if plan.costliest else None
        terms = f"{plan.nodes} x {price:.4f} x {plan.hours:g} h"
        lines.append(format_line("at most", f"{plan.max_cost:.2f} USD ({terms})"))
    elif plan.max_cost is not None:
        lines.append(format_line("at most", f"{plan.max_cost:.2f} USD, the sum of"))
        lines += [format_line(f"  {cost:8.2f}", what) for cost, what in plan.parts]
    lines += [format_line("note", note) for note in plan.notes]
    lines += [format_line("warning", plan.warning)] if plan.warning else []
    return "\n".join(lines)


def format_line(label: str, text: str) -> str:
    """Return a labeled text, wrapped to the width of a terminal."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=f"  {label:<11} ",
        subsequent_indent=" " * 14,
        break_long_words=False,
        break_on_hyphens=False,
    )


def format_offers(plan: Plan) -> list[str]:
    """Return a table of the cheapest offers: prices, and what the job would cost on each."""
    hours = f"{plan.hours:g} h"
    count = f"cheapest of {len(plan.offers)}, in USD"
    lines = [f"  {count:<48}{'an hour':>9}{hours:>9}{'at most':>9}"]
    for offer in plan.offers[:SHOWN]:
        alone = replace(plan, offer=offer, alternatives=[])
        cost = None if offer.price is None else plan.nodes * offer.price * plan.hours
        name = textwrap.shorten(offer.machine, 45, placeholder=" ...")
        cells = [
            f"{'-' if number is None else format(number, form):>9}"
            for number, form in ((offer.price, ".4f"), (cost, ".2f"), (alone.max_cost, ".2f"))
        ]
        lines.append(f"    {name:<46}{''.join(cells)}")
    return lines


def check_price(plan: Plan) -> None:
    """Refuse a plan with a price that cannot be right.

    Catalogs hold prices of zero where a provider publishes none. With such a price any budget
    would seem to be enough.

    Raises
    ------
    UserError
        If a price is zero or less, or not a number.
    """
    for offer in plan.offers:
        for price in (offer.price, offer.highest):
            if price is not None and not 0 < price < math.inf:
                raise UserError(
                    f"{offer.machine} would cost {price:.2f} USD an hour, which cannot be right: "
                    "choose another machine (GPU=..., SPOT=no) or another provider (ON=...)"
                )


def check_budget(plan: Plan, budget: float | None) -> None:
    """Refuse a plan that may cost more than the budget, in US dollars.

    Raises
    ------
    UserError
        If it may, or if its price is unknown.
    """
    if budget is not None and plan.max_cost is None:
        raise UserError("BUDGET=... needs a price: PRICE=... says what the machine costs an hour")
    if budget is not None and plan.max_cost is not None and plan.max_cost > budget:
        raise UserError(
            f"the job may cost {plan.max_cost:.2f} USD, and the budget is {budget:g} USD: "
            f"{advise_hours(plan, budget)}a cheaper machine (GPU=...)"
        )


def confirm_plan(plan: Plan, yes: bool) -> None:
    """Ask before money is spent.

    Raises
    ------
    UserError
        If the answer is not yes.
    """
    if yes or not plan.needs_confirmation:
        return
    if not sys.stdin.isatty():
        raise UserError("the job costs money, and there is no terminal to ask in: YES=1 confirms")
    machines = f"{plan.nodes} machines" if plan.nodes > 1 else "a machine"
    cost = "at an unknown price" if plan.max_cost is None else f"for up to {plan.max_cost:.2f} USD"
    if not confirm(f"Start {machines} {cost}?"):
        raise UserError("nothing was started")


def advise_hours(plan: Plan, budget: float) -> str:
    """Return the advice how many hours fit a budget, or nothing if it is less than 0.01.

    They are rounded down, so that a job with these hours passes the check of the budget.
    """
    rate = plan.nodes * (plan.costliest.limit or 0) if plan.costliest else 0

    def cost(hundredths: int) -> float:
        return replace(plan, hours=hundredths / 100).max_cost or 0

    longest = range(int(budget / rate * 100) + 2) if rate else range(0)
    fitting = bisect_right(longest, budget, key=cost) - 1
    hours = f"{fitting / 100:.2f}".rstrip("0").rstrip(".")
    return f"HOURS={hours} fits, or " if fitting > 0 else ""


def confirm(question: str, yes: bool = False) -> bool:
    """Ask a question, and return whether the answer is yes; without a terminal it is no."""
    if yes:
        return True
    if not sys.stdin.isatty():
        print(f"{question} There is no terminal to ask in: YES=1 confirms")
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
